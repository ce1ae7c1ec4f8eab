import Custody

/// The shared pages that become private again by themselves, by the time box that they are in.
struct TimeBoxes: Sendable {
    /// The number of each page's box; 0 for none. There once there has been a box.
    private var map: PageRunMap<UInt64>?
    private(set) var boxes: [UInt64: TimeBox] = [:]
    private let bounds: PageRange
    private var next: UInt64 = 1

    init(bounds: PageRange) { self.bounds = bounds }

    /// Puts pages into a new box, out of any other.
    mutating func open(_ changes: Changes, _ box: TimeBox) -> UInt64 {
        var ranges: [PageRange] = []
        changes.forEach { ranges.append($0.range) }
        return open(ranges, box)
    }

    /// Puts pages into a new box, out of any other.
    mutating func open(_ ranges: [PageRange], _ box: TimeBox) -> UInt64 {
        defer { next += 1 }
        if map == nil { map = PageRunMap(bounds: bounds, state: 0) }
        for range in ranges { map?.set(range, to: next) }
        boxes[next] = box
        return next
    }

    /// Takes pages out of any box: they are not shared any more.
    mutating func close(_ range: PageRange) { map?.set(range, to: 0) }

    /// The pages that are still in a box.
    ///
    /// - Complexity: O(*n*) in the number of runs of pages in different boxes.
    func ranges(of box: UInt64) -> [PageRange] {
        map?.runs.filter { $0.state == box }.map(\.range) ?? []
    }

    /// When the pages that are still in a box are asked for once more; `nil`, and the box is forgotten, where none is
    /// or nobody can be asked any more.
    mutating func next(_ box: UInt64, after now: Timestamp, isLost: Bool) -> Timestamp? {
        guard !isLost, let period = boxes[box]?.period, !ranges(of: box).isEmpty else {
            boxes[box] = nil
            return nil
        }
        let due = now.advanced(by: max(period, .milliseconds(1)))
        boxes[box] = TimeBox(due: due, period: period)
        return due
    }
}

import Custody

/// The shared pages that become private again by themselves, by the time box that they are in.
struct TimeBoxes: Sendable {
    /// The number of each page's box; 0 for none. There once there has been a box.
    private var map: PageRunMap<UInt64>?
    private let bounds: PageRange
    private var next: UInt64 = 1

    init(bounds: PageRange) { self.bounds = bounds }

    /// Puts pages into a new box, out of any other.
    mutating func open(_ changes: Changes) -> UInt64 {
        defer { next += 1 }
        if map == nil { map = PageRunMap(bounds: bounds, state: 0) }
        changes.forEach { map?.set($0.range, to: next) }
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
}

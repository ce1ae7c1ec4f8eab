import Custody

/// Which memory slot serves which run of pages: one slot for each maximal run with the same backing.
///
/// Slots are replaced step by step, but a page's backing changes at once, when all steps of its change are made.
struct SlotMap: Sendable {
    /// The backing of every page.
    private(set) var backings: PageRunMap<Backing>
    /// The number of slots that the backings need.
    private(set) var slotCount = 0
    private var numbers: [UInt64: UInt32] = [:]
    private var free: [UInt32] = []
    private var next: UInt32

    /// A map without a slot. Slot numbers are given from `first` on.
    init(bounds: PageRange, firstNumber first: UInt32) {
        backings = PageRunMap(bounds: bounds, state: .none)
        next = first
    }

    /// Takes a slot that serves no page of the map.
    mutating func takeOther() -> UInt32 {
        slotCount += 1
        return takeNumber()
    }

    /// Gives back a slot that ``takeOther()`` has taken.
    mutating func giveBackOther(_ number: UInt32) {
        slotCount -= 1
        giveBack(number)
    }

    /// Takes a number that no slot has: nobody else is given it until it is given back.
    mutating func takeNumber() -> UInt32 {
        if let number = free.popLast() { return number }
        next += 1
        return next - 1
    }

    /// Gives back a number whose slot has not been made.
    mutating func giveBack(_ number: UInt32) { free.append(number) }

    /// The steps that give every page of `range`, which has one backing now, another one; removals come first.
    ///
    /// - Returns: `nil` where the range has not one backing, or lies outside the bounds.
    /// - Complexity: O(log *n*) in the number of slots; at most five steps.
    func steps(for range: PageRange, to backing: Backing) -> [SlotStep]? {
        guard let current = backings.run(containing: range.start), current.range.contains(range) else { return nil }
        guard current.state != backing else { return [] }
        var steps: [SlotStep] = []
        var additions: [SlotStep] = []
        var middle = range
        if current.state != .none { steps.append(.remove(current.range, current.state)) }
        for rest in [current.range.prefix(before: range.start), current.range.suffix(from: PageNumber(range.end))] {
            guard let rest, current.state != .none else { continue }
            additions.append(.add(rest, current.state))
        }
        if backing != .none {
            for neighbour in neighbours(of: range) where neighbour.state == backing {
                steps.append(.remove(neighbour.range, backing))
                middle = middle.joined(with: neighbour.range)
            }
            additions.append(.add(middle, backing))
        }
        return steps + additions
    }

    /// How many slots more a list of steps needs.
    static func growth(of steps: [SlotStep]) -> Int {
        steps.reduce(0) { sum, step in
            switch step {
            case .add: sum + 1
            case .remove: sum - 1
            case .convert: sum
            }
        }
    }

    /// Every slot: its number, its pages and their backing.
    var slots: [(number: UInt32, range: PageRange, backing: Backing)] {
        backings.runs.compactMap { run in
            numbers[run.range.start.rawValue].map { ($0, run.range, run.state) }
        }
    }

    /// The number of the slot of a run of pages.
    func number(of range: PageRange) -> UInt32? { numbers[range.start.rawValue] }

    /// Notes that the slot of a number that was taken serves a run of pages.
    mutating func add(_ number: UInt32, _ range: PageRange) { numbers[range.start.rawValue] = number }

    /// Notes that the slot of a run of pages is gone; its number is free.
    mutating func remove(_ range: PageRange) {
        if let number = numbers.removeValue(forKey: range.start.rawValue) { free.append(number) }
    }

    /// Notes that all steps of a change are made, which needed so many slots more.
    mutating func settle(_ range: PageRange, to backing: Backing, growth: Int) {
        backings.set(range, to: backing)
        slotCount += growth
    }

    /// The runs that touch the range, outside of it.
    private func neighbours(of range: PageRange) -> [PageRun<Backing>] {
        var found: [PageRun<Backing>] = []
        if range.start.rawValue > 0, let left = backings.run(containing: PageNumber(range.start.rawValue - 1)) {
            if !left.range.overlaps(range) { found.append(left) }
        }
        if let right = backings.run(containing: PageNumber(range.end)), !right.range.overlaps(range) {
            found.append(right)
        }
        return found
    }
}

extension PageRange {
    /// The range from the lower start to the higher end; for ranges that touch.
    fileprivate func joined(with other: PageRange) -> PageRange {
        let start = min(start, other.start).rawValue
        return PageRange(uncheckedStart: start, count: max(end, other.end) - start)
    }
}

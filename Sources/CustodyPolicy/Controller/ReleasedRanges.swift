import Custody

/// Pages that somebody has let go of, and whose hand-overs are to be looked at: away from the thread that let go.
struct ReleasedRanges: Sendable {
    private var ranges = FIFO<PageRange>()
    /// Whether somebody is going to look.
    private var isTaken = false

    /// The largest number of ranges; more become one that has them all.
    private static let limit = 64

    var isEmpty: Bool { ranges.isEmpty }

    /// Adds a range.
    ///
    /// - Returns: whether somebody has to be told to look.
    /// - Complexity: O(1), amortized.
    mutating func add(_ range: PageRange) -> Bool {
        if ranges.count < ReleasedRanges.limit {
            ranges.append(range)
        } else {
            var (start, end) = (range.start.rawValue, range.end)
            while let other = ranges.popFirst() {
                start = min(start, other.start.rawValue)
                end = max(end, other.end)
            }
            ranges.append(PageRange(uncheckedStart: start, count: end - start))
        }
        defer { isTaken = true }
        return !isTaken
    }

    /// The oldest range; without one nobody is going to look any more.
    mutating func next() -> PageRange? {
        let next = ranges.popFirst()
        isTaken = next != nil
        return next
    }

    /// What is left of a range is looked at later.
    mutating func putBack(_ range: PageRange) { ranges.append(range) }
}

import Custody

/// The copies in and out that are under way: the pages of each place on the board, and who copies.
struct AccessTable: Sendable {
    private struct Entry {
        var range: PageRange
        var holder: Holder
        var since: Timestamp
    }

    let board = AccessBoard()
    private var entries: [Entry?] = Array(repeating: nil, count: AccessBoard.places)

    /// Notes a copy; `nil` where all places are taken.
    mutating func enter(_ range: PageRange, _ holder: Holder, _ since: Timestamp) -> Int? {
        guard let place = board.take() else { return nil }
        entries[place] = Entry(range: range, holder: holder, since: since)
        return place
    }

    /// Whether a copy of some of the pages is under way. If so, its end is going to be told.
    func isBusy(_ range: PageRange) -> Bool {
        guard !board.isEmpty else { return false }
        var isBusy = false
        forEach(meeting: range) { _, _ in isBusy = true }
        return isBusy
    }

    /// The copies of some of the pages, cut to them. Their ends are going to be told.
    func blockers(of range: PageRange) -> [Blocker] {
        guard !board.isEmpty else { return [] }
        var blockers: [Blocker] = []
        forEach(meeting: range) { entry, held in
            blockers.append(Blocker(holder: entry.holder, range: held, kind: .access, since: entry.since))
        }
        return blockers
    }

    private func forEach(meeting range: PageRange, _ body: (Entry, PageRange) -> Void) {
        var taken = board.takenPlaces()
        while taken != 0 {
            let place = taken.trailingZeroBitCount
            taken &= taken - 1
            if let entry = entries[place], let held = entry.range.intersection(range) { body(entry, held) }
        }
    }
}

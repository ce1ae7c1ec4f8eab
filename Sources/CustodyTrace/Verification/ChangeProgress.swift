import Custody

/// How far the changes of a request or of a hand-over have got, each by its first page.
struct ChangeProgress: Sendable {
    private(set) var prepared: [PageNumber: OwnershipChange] = [:]
    private(set) var committed: [PageNumber: OwnershipChange] = [:]
    private(set) var finished: [OwnershipChange] = []
    /// The number of base pages that are finished.
    private(set) var finishedPages: UInt64 = 0
    /// What became of the bytes of all that is finished; `nil` where nothing is.
    private(set) var contents: ContentsEffect?
    /// The change that was prepared last.
    private(set) var last: OwnershipChange?

    var isEmpty: Bool { prepared.isEmpty && committed.isEmpty && finished.isEmpty }

    /// What is neither as it was nor finished.
    var underWay: [OwnershipChange] { Array(prepared.values) + committed.values }

    /// The pages, as they were.
    var before: [PageRun<Ownership>] { (underWay + finished).map { PageRun(range: $0.range, state: $0.from) } }

    /// What is under way, of the pages of a range.
    func underWay(within range: PageRange) -> ChangeProgress {
        var part = ChangeProgress()
        part.prepared = prepared.filter { range.contains($0.value.range) }
        part.committed = committed.filter { range.contains($0.value.range) }
        return part
    }

    mutating func prepare(_ change: OwnershipChange) {
        prepared[change.range.start] = change
        last = change
    }

    /// - Returns: `false` where it has not been prepared for.
    mutating func commit(_ change: OwnershipChange) -> Bool {
        guard prepared[change.range.start] == change else { return false }
        prepared[change.range.start] = nil
        committed[change.range.start] = change
        return true
    }

    /// - Returns: `false` where it has not been committed.
    mutating func finish(_ change: OwnershipChange, _ effect: ContentsEffect) -> Bool {
        guard committed[change.range.start] == change else { return false }
        committed[change.range.start] = nil
        finished.append(change)
        finishedPages += change.range.count
        contents = contents == nil || contents == effect ? effect : .unspecified
        return true
    }

    /// Takes the changes out that are committed within a range.
    mutating func takeCommitted(within range: PageRange) -> [OwnershipChange] {
        let taken = committed.values.filter { range.contains($0.range) }
        for change in taken { committed[change.range.start] = nil }
        return taken
    }
}

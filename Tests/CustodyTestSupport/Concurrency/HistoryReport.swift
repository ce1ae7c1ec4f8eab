import Custody

/// What came of many short histories of eight threads.
package struct HistoryReport: Sendable {
    /// The number of histories.
    package let histories: UInt64
    /// The number of calls in all of them.
    package let calls: Int
    /// The number of histories that no controller may have.
    package let wrong: Int
    /// The first one of those, event by event.
    package let firstWrong: [String]

    /// Records histories and checks each.
    ///
    /// - Throws: `BackendError` where there is no thread to be had.
    package init(count: UInt64, seed: UInt64) throws {
        let crew = try ThreadCrew(8)
        let executor = try ThreadExecutor()
        var calls = 0
        var wrong = 0
        var first: [String] = []
        for number in 0..<count {
            let history = try RecordedHistory.record(crew, seed: seed &+ number &* 0x51_7c_c1_b7, on: executor)
            calls += history.calls
            guard !history.isLinearizable || !history.violations.isEmpty else { continue }
            wrong += 1
            if first.isEmpty {
                first = history.violations + history.events.map { "[\($0.began), \($0.ended)] \($0.event)" }
            }
        }
        histories = count
        self.calls = calls
        self.wrong = wrong
        firstWrong = first
    }
}

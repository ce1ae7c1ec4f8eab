import Testing

@testable import CustodyScenario

/// What holding the ownership against the events of a play costs, in runs that are looked at.
@Suite struct AuditPaceTests {
    /// The looks of a play each step of which has three events and leaves two runs more, up to so many steps.
    private func looks(_ steps: Int) -> (count: Int, runs: Int) {
        var pace = AuditPace()
        var (count, looked) = (0, 0)
        for step in 1...steps {
            let runs = pace.isDue ? 1 + 2 * step : nil
            pace.note(events: 3, runs: runs)
            count += runs == nil ? 0 : 1
            looked += runs ?? 0
        }
        return (count, looked)
    }

    @Test func shortPlaysAreLookedAtInEachStep() { #expect(looks(31).count == 31) }

    /// At n and 16 n: the looks cost as much more as there are more events.
    @Test func longPlaysAreNoDearerThanTheirEvents() {
        let (few, many) = (looks(1_000), looks(16_000))
        #expect(many.runs < 20 * few.runs, "\(few.runs), \(many.runs)")
        #expect(many.runs < 16 * 3 * 16_000 * 2 && many.count > 100)
    }

    /// A step without an event pays for nothing.
    @Test func whatDoesNothingIsNotLookedAt() {
        var pace = AuditPace()
        pace.note(events: 1, runs: 1_000)
        #expect(!pace.isDue)
        pace.note(events: 0, runs: nil)
        #expect(!pace.isDue)
        pace.note(events: 62, runs: nil)
        #expect(pace.isDue)
    }
}

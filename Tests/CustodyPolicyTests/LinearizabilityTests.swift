import CustodyTestSupport
import Testing

/// Short histories of eight threads on one controller, and the checker that judges them.
@Suite(.timeLimit(.minutes(60))) struct LinearizabilityTests {
    @Test func historiesOfEightThreadsAreLinearizable() throws {
        let seed = Seed.value()
        print("Histories: CUSTODY_SEED=\(seed)")
        let report = try HistoryReport(count: 1000, seed: seed)
        #expect(report.wrong == 0, "CUSTODY_SEED=\(seed)\n\(report.firstWrong.joined(separator: "\n"))")
        #expect(report.calls > 20_000, "each thread calls at least three times")
    }

    /// One thing after the other, a tick each, unless a span says otherwise.
    private func isLinearizable(_ events: [(LeaseSpecification.Event, ClosedRange<UInt64>)]) -> Bool {
        RecordedHistory(
            events.map { TimedEvent($0.0, began: $0.1.lowerBound, ended: $0.1.upperBound) },
            calls: events.count
        ).isLinearizable
    }

    @Test func whatOverlapsMayHappenInEitherOrder() {
        let claimed = LeaseSpecification.Event.claimed(call: 1, pages: 1, .private)
        let converted = LeaseSpecification.Event.converted(call: 1, .private, changed: 1)
        let looked = LeaseSpecification.Event.looked(page: 0, .private)
        #expect(isLinearizable([(claimed, 1...4), (converted, 1...4), (looked, 2...3)]))
        #expect(isLinearizable([(claimed, 1...4), (converted, 1...4), (.looked(page: 0, .shared), 2...3)]))
        #expect(isLinearizable([(claimed, 1...4), (converted, 1...4), (.looked(page: 0, .inTransit), 2...3)]))
        #expect(!isLinearizable([(claimed, 1...2), (converted, 1...2), (.looked(page: 0, .shared), 3...4)]))
    }

    @Test func whatNoControllerMayDoIsSeen() {
        // A page is taken while it is leased.
        #expect(
            !isLinearizable([
                (.leased(1, pages: 1), 1...2), (.claimed(call: 2, pages: 1, .private), 3...4),
                (.converted(call: 2, .private, changed: 1), 5...6), (.released(1), 7...8),
            ])
        )
        // A hand-over completes before the last holder has let go.
        let registered: [(LeaseSpecification.Event, ClosedRange<UInt64>)] = [
            (.leased(1, pages: 1), 1...2), (.registered(9, pages: 1, .private), 3...4),
        ]
        let ended: [(LeaseSpecification.Event, ClosedRange<UInt64>)] = [
            (.left(9, isCancelled: false), 5...6), (.ended(9, isCancelled: false), 7...8),
        ]
        #expect(!isLinearizable(registered + ended + [(.released(1), 9...10)]))
        #expect(isLinearizable(registered + [(.released(1), 5...5)] + ended))
        // A lease of its pages is refused without saying why, or given.
        #expect(
            isLinearizable(
                registered + [(.leaseRefused(pages: 1, inTransit: true, page: 0, ticket: 9), 5...6)]
            )
        )
        #expect(
            !isLinearizable(
                registered + [(.leaseRefused(pages: 1, inTransit: true, page: 0, ticket: nil), 5...6)]
            )
        )
        #expect(!isLinearizable(registered + [(.leased(2, pages: 1), 5...6)]))
        // One that is taken back leaves the pages as they were.
        let cancelled: [(LeaseSpecification.Event, ClosedRange<UInt64>)] = [
            (.left(9, isCancelled: true), 5...8), (.ended(9, isCancelled: true), 5...8),
            (.cancelAnswered(9, true), 5...8),
        ]
        #expect(isLinearizable(registered + cancelled + [(.looked(page: 0, .shared), 9...10)]))
        #expect(!isLinearizable(registered + cancelled + [(.looked(page: 0, .private), 9...10)]))
        #expect(!isLinearizable(registered + [(.cancelAnswered(9, true), 5...6)]))
        #expect(!isLinearizable(registered + [(.busy(pages: 1, .shared), 5...6)]), "it is taken back, not busy")
    }
}

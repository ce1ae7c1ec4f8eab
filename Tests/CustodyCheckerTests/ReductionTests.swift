import CustodyChecker
import CustodyProtocols
import Testing

/// Leaving out orders that cannot matter must not change a verdict.
@Suite struct ReductionTests {
    @Test(arguments: HandoverProtocol.all)
    func verdictsAreTheSame(_ handover: HandoverProtocol) {
        for configuration in Suite.configurations(for: handover) where !configuration.name.hasPrefix("crowd") {
            let reduced = Checker(reduction: true).check(configuration)
            let full = Checker(reduction: false).check(configuration)
            #expect(reduced.violated == full.violated, "\(handover.name) \(configuration.name)")
            #expect(reduced.states <= full.states)
            for property in full.violated {
                let one = reduced[property]?.counterexample?.entries.count
                let two = full[property]?.counterexample?.entries.count
                #expect(one == two, "\(configuration.name) \(property)")
            }
        }
    }

    @Test func equalActorsCountOnce() {
        let operations = [Operation](repeating: Operation(.speculate), count: 4)
        let configuration = Configuration("equal", .version5, operations: operations)
        let reduced = Checker(reduction: true).check(configuration)
        let full = Checker(reduction: false).check(configuration)
        #expect(reduced.isProved && full.isProved)
        #expect(reduced.states * 4 < full.states, "\(reduced.states) of \(full.states)")
    }

    @Test func boundsAreNamed() throws {
        let configuration = try #require(Suite.configuration("two pins", for: .custody))
        let report = Checker(maximumStates: 100).check(configuration)
        guard case .boundHit(.states(let states)) = report[.noDeadlock] else {
            Issue.record("no bound")
            return
        }
        #expect(states > 100 && !report.isProved)
        let crowd = [Operation](repeating: Operation(.pin), count: 9)
        let large = Checker().check(Configuration("large", .version5, operations: crowd))
        guard case .boundHit(.actors(9)) = large[.noDeadlock] else {
            Issue.record("no bound")
            return
        }
    }

    @Test func aCounterexampleIsATimeline() throws {
        let configuration = try #require(Suite.configuration("two requests", for: .version5))
        let counterexample = try #require(Checker().check(configuration)[.noHostAccessToPrivate]?.counterexample)
        #expect(counterexample.entries.last?.transition.events.contains(.hostTouchedPrivate) == true)
        #expect(counterexample.entries.last?.pages.hasPrefix("GUEST") == true)
        #expect(counterexample.text.contains("clearStoreGuest"))
        for (number, entry) in counterexample.entries.enumerated() {
            #expect(counterexample.actors.indices.contains(entry.actor), "entry \(number)")
        }
    }
}

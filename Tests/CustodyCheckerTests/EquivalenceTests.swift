import CustodyChecker
import CustodyProtocols
import Testing

/// The review asked whether registration could drop the references and leave everything else to the final put.
@Suite struct EquivalenceTests {
    @Test func callbackOnlyIsEquivalentOnceFinalPutsAreQueuedButForTruncation() {
        var subtracting = HandoverProtocol.version5
        var dropping = HandoverProtocol.version5CallbackOnly
        subtracting.rules.finalPut = .queues
        dropping.rules.finalPut = .queues
        var different: [String] = []
        for configuration in Suite.configurations(for: .version5) where !configuration.name.hasPrefix("crowd") {
            var (one, two) = (configuration, configuration)
            one.handover = subtracting
            two.handover = dropping
            let checker = Checker(shortest: false)
            if checker.check(one).violated != checker.check(two).violated { different.append(configuration.name) }
        }
        #expect(different == ["punch and fault"])
    }

    @Test func callbackOnlyAsSuggestedLocksItselfOutWithoutAnybodyElse() throws {
        let configuration = try #require(Suite.configuration("mapped", for: .version5CallbackOnly))
        let counterexample = try #require(Checker().check(configuration)[.noSelfDeadlock]?.counterexample)
        #expect(counterexample.entries.allSatisfy { $0.actor == 0 })
        #expect(counterexample.entries.last?.transition.step == .callbackTakeLock)
    }
}

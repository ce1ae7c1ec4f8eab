import CustodyChecker
import CustodyProtocols
import Testing

/// Defects planted on purpose: a property must notice every one of them.
@Suite struct MutationTests {
    @Test func everyMutationIsKilledOrEquivalent() {
        let trial = MutationTrial(.custody)
        var equivalent: [Mutation] = []
        for mutation in Mutation.all {
            switch trial.fate(of: mutation) {
            case .killed: break
            case .equivalent: equivalent.append(mutation)
            case .survives(let set): Issue.record("\(mutation.text) survives; something ends differently in ‘\(set)’")
            }
        }
        #expect(Mutation.all.count - equivalent.count >= 100)
        #expect(equivalent.contains(.losesEffect(of: .lookupUnlockStale)), "nobody finds a folio that left its place")
    }

    @Test func everyPropertyCanFail() {
        var failed: Set<Property> = []
        func explore(_ handover: HandoverProtocol, _ mutation: Mutation?) {
            for configuration in Suite.configurations(for: handover) where !configuration.name.hasPrefix("crowd") {
                var spoiled = configuration
                spoiled.mutation = mutation
                failed.formUnion(Checker(maximumStates: 20_000, shortest: false).check(spoiled).violated)
            }
        }
        explore(.version5, nil)
        explore(.version7, nil)
        let planted: [Mutation] = [
            .losesEffect(of: .faultTakeInvalidate), .losesEffect(of: .faultZero), .losesEffect(of: .guestMap),
            .losesEffect(of: .clearStoreGuest), .losesEffect(of: .completerRestoreReferences),
            .losesEffect(of: .clearTakeLock), .losesEffect(of: .completionEnqueue),
            .goesOn(from: .clearCheck, to: .clearStoreGuest), .goesOn(from: .guestCheckMappable, to: .guestZero),
        ]
        for mutation in planted { explore(.custody, mutation) }
        let missing = Set(Property.allCases).subtracting(failed)
        #expect(missing.isEmpty, "\(missing)")
    }
}

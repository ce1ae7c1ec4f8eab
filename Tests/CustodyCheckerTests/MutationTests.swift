import CustodyChecker
import CustodyProtocols
import Testing

/// Defects planted on purpose: a property must notice every one of them.
@Suite struct MutationTests {
    static let mutations: [Mutation] =
        [
            .lookupGet, .lookupLock, .putDrop, .putDispatch, .completionEnqueue, .completionResurrect,
            .completerTakeLock, .completerLockFolio, .completerStoreGuest, .completerClearType,
            .completerRestoreReferences, .completerUnlockFolio, .completerReleaseLock, .completerDequeue,
            .clearTakeLock, .clearStoreGuest, .clearStoreNone, .clearUnlockFolio, .clearReleaseLock, .registerSetType,
            .registerSubtract, .registerStoreGuest, .registerClearType, .registerRestoreReferences, .setTakeLock,
            .setClearType, .setRestoreReferences, .setStoreAll, .setUnlockFolio, .setReleaseLock,
            .faultTakeInvalidate, .faultZero, .faultMap, .faultUnlockFolio, .unmapZap, .pinTryGet, .guestZero,
            .guestMap, .punchTakeLock, .punchZapGuest, .truncateUnmap, .truncateClearType,
            .truncateRestoreReferences, .truncateStoreGuest, .truncateRemove, .truncateDropReferences,
            .poisonLockFolio,
        ].map { .losesEffect(of: $0) } + [
            .goesOn(from: .completerCheck, to: .completerStoreGuest),
            .goesOn(from: .completerCheck, to: .completerUnlockFolio),
            .goesOn(from: .clearCheck, to: .clearStoreNone),
            .goesOn(from: .clearCheck, to: .clearStoreGuest),
            .goesOn(from: .clearStoreNone, to: .registerSubtract),
            .goesOn(from: .clearStoreNone, to: .clearUnlockFolio),
            .goesOn(from: .registerSetType, to: .clearUnlockFolio),
            .goesOn(from: .registerSubtract, to: .registerStoreGuest),
            .goesOn(from: .setLoad, to: .setStoreAll),
            .goesOn(from: .setCheckType, to: .setStoreAll),
            .goesOn(from: .faultCheckMappable, to: .faultCheckType),
            .goesOn(from: .faultCheckMappable, to: .faultZero),
            .goesOn(from: .punchZapGuest, to: .punchReleaseLock),
            .goesOn(from: .putDispatch, to: .putDispatch),
            .goesOn(from: .registerClearType, to: .clearUnlockFolio),
        ]

    @Test(arguments: mutations)
    func isNoticed(_ mutation: Mutation) {
        let isKilled = Suite.configurations(for: .custody).contains { configuration in
            var spoiled = configuration
            spoiled.mutation = mutation
            return !Checker(maximumStates: 100_000).check(spoiled).violated.isEmpty
        }
        #expect(isKilled, "\(mutation) survives")
    }

    @Test func everyPropertyCanFail() {
        var failed: Set<Property> = []
        func explore(_ handover: HandoverProtocol, _ mutation: Mutation?) {
            for configuration in Suite.configurations(for: handover) where !configuration.name.hasPrefix("crowd") {
                var spoiled = configuration
                spoiled.mutation = mutation
                failed.formUnion(Checker(maximumStates: 20_000).check(spoiled).violated)
            }
        }
        explore(.version5, nil)
        explore(.version7, nil)
        let planted: [Mutation] = [
            .losesEffect(of: .faultTakeInvalidate), .losesEffect(of: .faultZero), .losesEffect(of: .guestMap),
            .losesEffect(of: .clearStoreGuest), .losesEffect(of: .completerRestoreReferences),
            .losesEffect(of: .clearTakeLock), .losesEffect(of: .completionEnqueue),
            .goesOn(from: .clearCheck, to: .clearStoreGuest),
        ]
        for mutation in planted { explore(.custody, mutation) }
        let missing = Set(Property.allCases).subtracting(failed)
        #expect(missing.isEmpty, "\(missing)")
    }
}

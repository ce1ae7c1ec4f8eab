import CustodyProtocols

extension Mutation {
    /// The defects that are planted in `gmem-custody`: the effect of every step of a critical section that changes
    /// something, every check decided without looking, counts off by one, orders swapped.
    public static let all: [Mutation] = lost + ignored + miscounted + swapped

    private static let lost: [Mutation] = [
        .lookupGet, .lookupLock, .lookupUnlockStale, .putDrop, .putDispatch, .completionEnqueue, .completionResurrect,
        .completerTakeLock, .completerLockFolio, .completerStoreGuest, .completerClearType,
        .completerRestoreReferences, .completerUnlockFolio, .completerReleaseLock, .completerDequeue, .clearTakeLock,
        .clearStoreGuest, .clearStoreNone, .clearUnlockFolio, .clearReleaseLock, .registerSetType, .registerSubtract,
        .registerStoreGuest, .registerClearType, .registerRestoreReferences, .setTakeLock, .setClearType,
        .setRestoreReferences, .setStoreAll, .setUnlockFolio, .setReleaseLock, .faultTakeInvalidate, .faultZero,
        .faultReleaseInvalidate, .faultMap, .faultUnlockFolio, .faultRefuseUnlockFolio, .unmapZap, .pinTryGet,
        .guestTakeInvalidate, .guestZero, .guestMap, .guestUnlockFolio, .guestReleaseInvalidate, .punchTakeLock,
        .punchZapGuest, .punchReleaseLock, .truncateUnmap, .truncateClearType, .truncateRestoreReferences,
        .truncateStoreGuest, .truncateRemove, .truncateDropReferences, .truncateUnlockFolio, .poisonMark,
        .poisonLockFolio, .poisonUnmap, .poisonZapGuest, .poisonUnlockFolio, .teardownDestroy,
    ].map { .losesEffect(of: $0) }

    private static let ignored: [Mutation] = [
        .goesOn(from: .completerCheck, to: .completerStoreGuest),
        .goesOn(from: .completerCheck, to: .completerUnlockFolio),
        .goesOn(from: .clearCheck, to: .clearStoreNone),
        .goesOn(from: .clearCheck, to: .clearStoreGuest),
        .goesOn(from: .clearCheck, to: .clearUnlockFolio),
        .goesOn(from: .clearStoreNone, to: .registerSubtract),
        .goesOn(from: .clearStoreNone, to: .clearUnlockFolio),
        .goesOn(from: .registerSetType, to: .clearUnlockFolio),
        .goesOn(from: .registerSubtract, to: .registerStoreGuest),
        .goesOn(from: .registerSubtract, to: .clearUnlockFolio),
        .goesOn(from: .registerClearType, to: .clearUnlockFolio),
        .goesOn(from: .registerReturn, to: .awaitHandover),
        .goesOn(from: .setLoad, to: .setStoreAll),
        .goesOn(from: .setCheckType, to: .setStoreAll),
        .goesOn(from: .faultCheckMappable, to: .faultCheckType),
        .goesOn(from: .faultCheckMappable, to: .faultZero),
        .goesOn(from: .faultCheckMappable, to: .faultRefuseUnlockFolio),
        .goesOn(from: .faultCheckPoison, to: .faultCheckMappable),
        .goesOn(from: .faultCheckType, to: .faultZero),
        .goesOn(from: .pinRecheck, to: .pinAccess),
        .goesOn(from: .guestCheckMappable, to: .guestZero),
        .goesOn(from: .guestCheckPoison, to: .guestCheckMappable),
        .goesOn(from: .lookupLock, to: .clearCheck),
        .goesOn(from: .punchZapGuest, to: .punchReleaseLock),
        .goesOn(from: .truncateUnmap, to: .truncateClearType),
        .goesOn(from: .truncateClearType, to: .truncateRemove),
        .goesOn(from: .truncateRemove, to: .truncateDropReferences),
        .goesOn(from: .putDispatch, to: .putDispatch),
        .goesOn(from: .teardownDrain, to: .teardownDestroy),
        .goesOn(from: .poisonUnmap, to: .poisonZapGuest),
    ]

    private static let miscounted: [Mutation] = [
        .miscounts(after: .registerSubtract, by: 1),
        .miscounts(after: .registerSubtract, by: -1),
        .miscounts(after: .registerRestoreReferences, by: 1),
        .miscounts(after: .registerRestoreReferences, by: -1),
        .miscounts(after: .completerRestoreReferences, by: 1),
        .miscounts(after: .completerRestoreReferences, by: -1),
        .miscounts(after: .setRestoreReferences, by: 1),
        .miscounts(after: .setRestoreReferences, by: -1),
        .miscounts(after: .truncateRestoreReferences, by: 1),
        .miscounts(after: .truncateDropReferences, by: 1),
        .miscounts(after: .completionResurrect, by: 1),
        .miscounts(after: .lookupGet, by: 1),
    ]

    private static let swapped: [Mutation] = [
        .swaps(.completerTakeLock, .completerLockFolio, then: .completerCheck),
        .swaps(.completerClearType, .completerRestoreReferences, then: .completerUnlockFolio),
        .swaps(.completerStoreGuest, .completerClearType, then: .completerRestoreReferences),
        .swaps(.completerReleaseLock, .completerDequeue, then: .putDrop),
        .swaps(.registerClearType, .registerRestoreReferences, then: .clearUnlockFolio),
        .swaps(.setClearType, .setRestoreReferences, then: .setStoreAll),
        .swaps(.clearStoreNone, .registerSetType, then: .registerSubtract),
        .swaps(.truncateClearType, .truncateRestoreReferences, then: .truncateRemove),
        .swaps(.truncateRemove, .truncateStoreGuest, then: .truncateDropReferences),
        .swaps(.guestZero, .guestMap, then: .guestUnlockFolio),
        .swaps(.punchTakeLock, .punchZapGuest, then: .lookupGet),
    ]
}

extension Step {
    /// Where the code was published that `protocol` follows in this step: a lore message id, the kernel's own source,
    /// or a document of this project.
    public func source(in handover: HandoverProtocol) -> String {
        switch self {
        case .completionResurrect, .completionEnqueue, .completerTake, .completerTakeLock, .completerLockFolio,
            .completerCheck, .completerStoreGuest, .completerClearType, .completerRestoreReferences,
            .completerUnlockFolio, .completerReleaseLock, .completerDequeue, .truncateClearType,
            .truncateRestoreReferences, .truncateStoreGuest, .teardownDrain, .guestTakeInvalidate,
            .guestReleaseInvalidate:
            "docs/protocols.md"
        case .clearTakeLock, .clearCheck, .clearStoreGuest, .clearUnfreeze, .clearStoreNone, .clearUnlockFolio,
            .clearReleaseLock, .setTakeLock, .setLoad, .setStoreAll, .setUnlockFolio, .setReleaseLock,
            .registerSelect:
            handover.rules.stateLock == .offsets
                ? "lore 20250328153133.3504118-5-tabba@google.com" : "lore 20250117163001.2326672-6-tabba@google.com"
        case .registerTakeLock, .registerGuard, .registerSetType, .registerSubtract, .registerObserve,
            .registerFreeze, .registerSetTypeFrozen, .registerUnfreeze, .registerStoreGuest, .registerClearType,
            .registerRestoreReferences, .registerUnlockFolio, .registerReleaseLock, .callbackTakeLock,
            .callbackLockFolio, .callbackClearType, .callbackRestoreReferences, .callbackUnlockFolio,
            .callbackStoreGuest, .callbackReleaseLock, .setCheckType, .setClearType, .setRestoreReferences:
            handover.rules.stateLock == .offsets
                ? "lore 20250328153133.3504118-6-tabba@google.com" : "lore 20250117163001.2326672-7-tabba@google.com"
        case .faultTakeInvalidate, .faultTakeOffsets, .faultCheckPoison, .faultCheckMappable, .faultCheckType,
            .faultZero, .faultReleaseOffsets, .faultReleaseInvalidate, .faultRefuseUnlockFolio:
            handover.rules.stateLock == .offsets
                ? "lore 20250328153133.3504118-5-tabba@google.com" : "lore 20250117163001.2326672-8-tabba@google.com"
        case .guestReadSequence, .guestCheckPoison, .guestCheckMappable, .guestZero, .guestMap, .guestUnlockFolio:
            "lore 20250117163001.2326672-15-tabba@google.com"
        case .punchTakeOffsets, .punchLoad, .punchCheckType, .punchClearType, .punchRestoreReferences,
            .punchUnlockFolio, .punchEraseState, .punchReleaseOffsets:
            "lore 20250328153133.3504118-7-tabba@google.com"
        case .convertTakeLock, .convertCheckTarget, .convertUnmap, .convertGetFolio, .convertCheckMapped,
            .convertCheckCount, .convertZapGuest, .convertStore, .convertReleaseLock:
            handover.source
        case .punchTakeLock, .punchZapGuest, .punchReleaseLock, .teardownDestroy, .poisonTakeLock,
            .poisonZapGuest, .poisonReleaseLock:
            "virt/kvm/guest_memfd.c"
        case .poisonGet, .poisonMark, .poisonLockFolio, .poisonUnmap, .poisonUnlockFolio:
            "mm/memory-failure.c"
        case .truncateUnmap, .truncateRemove, .truncateDropReferences, .truncateUnlockFolio:
            "mm/truncate.c, mm/filemap.c"
        case .lookupGet, .lookupLock, .lookupUnlockStale, .speculateLoad:
            "mm/filemap.c"
        case .putDrop, .putDispatch:
            handover.rules.registration == .never ? "mm/swap.c" : "lore 20250117163001.2326672-2-tabba@google.com"
        case .faultMap, .faultUnlockFolio, .unmapZap:
            "mm/memory.c"
        case .pinReadEntry, .pinTryGet, .pinRecheck, .pinAccess, .speculateTryGet:
            "mm/gup.c"
        case .hostTouch, .guestTouch, .registerReturn, .awaitHandover, .done:
            "caller"
        }
    }
}

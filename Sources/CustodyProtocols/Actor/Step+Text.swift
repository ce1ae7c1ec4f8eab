extension Step {
    /// What the step does, in words.
    public var text: String {
        switch self {
        case .lookupGet:
            "finds the folio and takes a reference unless the count is zero; a fault allocates what is missing"
        case .lookupLock:
            "takes the folio lock and looks whether the folio is still in its place"
        case .lookupUnlockStale:
            "releases the lock of a folio that has left its place, to look again"
        case .putDrop:
            "drops one reference"
        case .putDispatch:
            "the count is zero: calls guest_memfd if the folio has its type, else frees the folio"
        case .callbackTakeLock:
            "takes the lock of the state, exclusively"
        case .callbackLockFolio:
            "takes the folio lock"
        case .callbackClearType:
            "clears the type"
        case .callbackRestoreReferences:
            "gives the file its references back"
        case .callbackUnlockFolio:
            "releases the folio lock"
        case .callbackStoreGuest:
            "stores GUEST"
        case .callbackReleaseLock:
            "releases the lock of the state"
        case .completionResurrect:
            "takes a reference for the completer, who may begin now"
        case .completionEnqueue:
            "marks the folio as queued: its count is zero, so nobody can look it up"
        case .completerTake:
            "takes a queued folio"
        case .completerTakeLock:
            "takes the lock of the state, exclusively"
        case .completerLockFolio:
            "takes the folio lock"
        case .completerCheck:
            "looks whether the folio is still registered and nobody else refers to it"
        case .completerStoreGuest:
            "stores GUEST"
        case .completerClearType:
            "clears the type"
        case .completerRestoreReferences:
            "gives the file its references back"
        case .completerUnlockFolio:
            "releases the folio lock"
        case .completerReleaseLock:
            "releases the lock of the state"
        case .completerDequeue:
            "marks the folio as no longer queued"
        case .clearTakeLock:
            "takes the lock of the state, exclusively"
        case .clearCheck:
            "looks at, or freezes, the references"
        case .clearStoreGuest:
            "stores GUEST"
        case .clearUnfreeze:
            "gives the count back"
        case .clearStoreNone:
            "stores NONE"
        case .clearUnlockFolio:
            "releases the folio lock"
        case .clearReleaseLock:
            "releases the lock of the state"
        case .registerSelect:
            "looks whether the page still waits"
        case .registerTakeLock:
            "takes the lock of the state, exclusively"
        case .registerGuard:
            "refuses a folio that is mapped or has the type already"
        case .registerSetType:
            "sets the type"
        case .registerSubtract:
            "subtracts the file's references and looks at the rest"
        case .registerObserve:
            "reads the count"
        case .registerFreeze:
            "swaps the count that was read for zero"
        case .registerSetTypeFrozen:
            "sets the type"
        case .registerUnfreeze:
            "gives the count back less the file's references"
        case .registerStoreGuest:
            "stores GUEST"
        case .registerClearType:
            "clears the type"
        case .registerRestoreReferences:
            "gives the file its references back"
        case .registerUnlockFolio:
            "releases the folio lock"
        case .registerReleaseLock:
            "releases the lock of the state"
        case .registerReturn:
            "reads the answer and decides what to do"
        case .awaitHandover:
            "waits for the end of the hand-over"
        case .setTakeLock:
            "takes the lock of the state, exclusively"
        case .setLoad:
            "loads the state"
        case .setCheckType:
            "looks whether the folio is registered"
        case .setClearType:
            "clears the type"
        case .setRestoreReferences:
            "gives the file its references back"
        case .setStoreAll:
            "stores ALL"
        case .setUnlockFolio:
            "releases the folio lock"
        case .setReleaseLock:
            "releases the lock of the state"
        case .hostTouch:
            "touches the page through the page table, or faults"
        case .faultTakeInvalidate:
            "takes the invalidate lock, shared"
        case .faultTakeOffsets:
            "takes the offsets lock, shared"
        case .faultCheckPoison:
            "refuses a broken folio"
        case .faultCheckMappable:
            "refuses a page that is not shared"
        case .faultCheckType:
            "refuses a folio that is registered"
        case .faultZero:
            "zeroes the folio if nobody did"
        case .faultReleaseOffsets:
            "releases the offsets lock"
        case .faultReleaseInvalidate:
            "releases the invalidate lock"
        case .faultMap:
            "maps the page with the reference of the fault"
        case .faultUnlockFolio:
            "releases the folio lock"
        case .faultRefuseUnlockFolio:
            "releases the folio lock of a refused fault"
        case .unmapZap:
            "removes the page from the page table"
        case .pinReadEntry:
            "reads the page-table entry"
        case .pinTryGet:
            "takes a reference unless the count is zero"
        case .pinRecheck:
            "looks whether the page-table entry is still the same"
        case .pinAccess:
            "touches the page through the reference"
        case .speculateLoad:
            "finds the folio, as a scanner of physical memory does"
        case .speculateTryGet:
            "takes a reference unless the count is zero"
        case .guestTouch:
            "touches the page through the guest's page table, or faults"
        case .guestTakeInvalidate:
            "takes the invalidate lock, shared"
        case .guestReadSequence:
            "reads the count of invalidations"
        case .guestCheckPoison:
            "refuses a broken folio"
        case .guestCheckMappable:
            "refuses a page in transit; takes and releases the lock of the state, shared"
        case .guestZero:
            "zeroes the folio if nobody did"
        case .guestMap:
            "maps the page for the guest unless an invalidation came between"
        case .guestUnlockFolio:
            "releases the folio lock"
        case .guestReleaseInvalidate:
            "releases the invalidate lock"
        case .punchTakeLock:
            "takes the invalidate lock, exclusively"
        case .punchZapGuest:
            "removes the range from the guest's page table"
        case .punchTakeOffsets:
            "takes the offsets lock, exclusively"
        case .punchLoad:
            "loads the state"
        case .punchCheckType:
            "looks whether the folio is registered"
        case .punchClearType:
            "clears the type"
        case .punchRestoreReferences:
            "gives the file its references back"
        case .punchUnlockFolio:
            "releases the folio lock"
        case .punchEraseState:
            "erases the state: the page is ALL"
        case .punchReleaseOffsets:
            "releases the offsets lock"
        case .truncateUnmap:
            "removes the folio from the host's page tables"
        case .truncateClearType:
            "looks whether the folio is registered; if so clears the type"
        case .truncateRestoreReferences:
            "gives the file its references back"
        case .truncateStoreGuest:
            "stores GUEST for the pages in transit: their hand-over ends here"
        case .truncateRemove:
            "removes the folio from the page cache"
        case .truncateDropReferences:
            "drops the file's references"
        case .truncateUnlockFolio:
            "releases the folio lock"
        case .punchReleaseLock:
            "releases the invalidate lock"
        case .teardownDrain:
            "waits until the completer has nothing of this file"
        case .teardownDestroy:
            "ends the inode"
        case .poisonGet:
            "takes a reference unless the count is zero"
        case .poisonMark:
            "marks the folio as broken"
        case .poisonLockFolio:
            "takes the folio lock"
        case .poisonUnmap:
            "removes the folio from the host's page tables"
        case .poisonTakeLock:
            "takes the invalidate lock, shared"
        case .poisonZapGuest:
            "removes the folio from the guest's page table"
        case .poisonReleaseLock:
            "releases the invalidate lock"
        case .poisonUnlockFolio:
            "releases the folio lock"
        case .convertTakeLock:
            "takes the invalidate lock, exclusively"
        case .convertCheckTarget:
            "looks whether the whole range is there already"
        case .convertUnmap:
            "removes the range from the host's page tables"
        case .convertGetFolio:
            "finds the next folio of the range and takes a reference"
        case .convertCheckMapped:
            "looks whether the folio is mapped, or pinned for a device"
        case .convertCheckCount:
            "compares the count with the expected one"
        case .convertZapGuest:
            "removes the range from the guest's page table"
        case .convertStore:
            "stores the attributes of the whole range"
        case .convertReleaseLock:
            "releases the invalidate lock"
        case .done:
            "nothing: the operation has ended"
        }
    }

    /// The kernel function that does it, or the part a caller or user plays.
    public var function: String {
        switch self {
        case .lookupGet, .speculateLoad:
            "filemap_get_entry"
        case .lookupLock, .lookupUnlockStale:
            "filemap_lock_folio"
        case .putDrop:
            "folio_put"
        case .putDispatch:
            "__folio_put"
        case .callbackTakeLock,
            .callbackLockFolio,
            .callbackUnlockFolio,
            .callbackStoreGuest,
            .callbackReleaseLock:
            "kvm_gmem_handle_folio_put"
        case .callbackClearType,
            .callbackRestoreReferences,
            .registerClearType,
            .registerRestoreReferences,
            .setClearType,
            .setRestoreReferences:
            "__kvm_gmem_restore_pending_folio"
        case .completionResurrect, .completionEnqueue:
            "custody_folio_put"
        case .completerTake,
            .completerTakeLock,
            .completerLockFolio,
            .completerCheck,
            .completerStoreGuest,
            .completerClearType,
            .completerRestoreReferences,
            .completerUnlockFolio,
            .completerReleaseLock,
            .completerDequeue:
            "custody_complete"
        case .clearTakeLock,
            .clearCheck,
            .clearStoreGuest,
            .clearStoreNone,
            .clearUnlockFolio,
            .clearReleaseLock:
            "gmem_clear_mappable"
        case .clearUnfreeze:
            "kvm_gmem_offset_clear_shared"
        case .registerSelect, .guestCheckMappable:
            "kvm_slot_gmem_is_guest_mappable"
        case .registerTakeLock, .registerUnlockFolio, .registerReleaseLock:
            "kvm_slot_gmem_register_callback"
        case .registerGuard, .registerSetType, .registerSubtract, .registerStoreGuest:
            "__gmem_register_callback"
        case .registerObserve, .registerFreeze, .registerSetTypeFrozen, .registerUnfreeze:
            "kvm_gmem_register_callback"
        case .registerReturn, .awaitHandover, .done:
            "caller"
        case .setTakeLock, .setLoad, .setCheckType, .setStoreAll, .setUnlockFolio, .setReleaseLock:
            "gmem_set_mappable"
        case .hostTouch:
            "user access"
        case .faultTakeInvalidate,
            .faultTakeOffsets,
            .faultCheckPoison,
            .faultCheckMappable,
            .faultCheckType,
            .faultZero,
            .faultReleaseOffsets,
            .faultReleaseInvalidate,
            .faultRefuseUnlockFolio:
            "kvm_gmem_fault"
        case .faultMap:
            "finish_fault"
        case .faultUnlockFolio:
            "do_shared_fault"
        case .unmapZap:
            "zap_pte_range"
        case .pinReadEntry, .pinRecheck:
            "gup_fast_pte_range"
        case .pinTryGet:
            "try_grab_folio_fast"
        case .pinAccess:
            "user of the pin"
        case .speculateTryGet:
            "folio_try_get"
        case .guestTouch:
            "guest access"
        case .guestTakeInvalidate, .guestReleaseInvalidate:
            "custody_guest_fault"
        case .guestReadSequence:
            "kvm_faultin_pfn"
        case .guestCheckPoison:
            "kvm_gmem_get_pfn_locked"
        case .guestZero:
            "kvm_gmem_prepare_folio"
        case .guestMap:
            "kvm_pgtable_stage2_map"
        case .guestUnlockFolio:
            "guest_memfd abort"
        case .punchTakeLock, .punchReleaseLock:
            "kvm_gmem_punch_hole"
        case .punchZapGuest, .poisonZapGuest, .convertZapGuest:
            "kvm_gmem_invalidate_begin"
        case .punchTakeOffsets,
            .punchLoad,
            .punchCheckType,
            .punchUnlockFolio,
            .punchEraseState,
            .punchReleaseOffsets:
            "kvm_gmem_offset_range_invalidate_shared"
        case .punchClearType, .punchRestoreReferences:
            "kvm_gmem_restore_pending_folio"
        case .truncateUnmap:
            "truncate_cleanup_folio"
        case .truncateClearType, .truncateRestoreReferences, .truncateStoreGuest:
            "custody_truncate"
        case .truncateRemove:
            "page_cache_delete"
        case .truncateDropReferences:
            "filemap_free_folio"
        case .truncateUnlockFolio:
            "truncate_inode_pages_range"
        case .teardownDrain:
            "custody_evict"
        case .teardownDestroy:
            "kvm_gmem_evict_inode"
        case .poisonGet, .poisonMark, .poisonLockFolio, .poisonUnlockFolio:
            "memory_failure"
        case .poisonUnmap:
            "hwpoison_user_mappings"
        case .poisonTakeLock, .poisonReleaseLock:
            "kvm_gmem_error_folio"
        case .convertTakeLock, .convertReleaseLock:
            "kvm_gmem_set_attributes"
        case .convertCheckTarget:
            "kvm_gmem_range_has_attributes"
        case .convertUnmap:
            "unmap_mapping_pages"
        case .convertGetFolio:
            "filemap_get_folios"
        case .convertCheckMapped, .convertCheckCount:
            "kvm_gmem_is_safe_for_conversion"
        case .convertStore:
            "mas_store_prealloc"
        }
    }
}

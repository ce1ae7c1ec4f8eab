/// One atomic action of the step machines: also the program counter of an actor, and the label of what it did.
///
/// One lock, one atomic operation on a count, one load or store of the state, one change of a page table, or one touch
/// of a page. Raw values are dense, from zero.
@frozen
public enum Step: UInt8, CaseIterable, Sendable {
    // MARK: Looking up and locking a folio in the page cache

    /// Finds the folio and takes a reference unless the count is zero; a fault allocates what is missing
    /// (`filemap_get_entry`).
    case lookupGet
    /// Takes the folio lock and looks whether the folio is still in its place (`filemap_lock_folio`).
    case lookupLock
    /// Releases the lock of a folio that has left its place, to look again (`filemap_lock_folio`).
    case lookupUnlockStale
    // MARK: Dropping a reference

    /// Drops one reference (`folio_put`).
    case putDrop
    /// The count is zero: calls guest_memfd if the folio has its type, else frees the folio (`__folio_put`).
    case putDispatch
    // MARK: The final put of a registered folio

    /// Takes the lock of the state, exclusively (`kvm_gmem_handle_folio_put`).
    case callbackTakeLock
    /// Takes the folio lock (`kvm_gmem_handle_folio_put`).
    case callbackLockFolio
    /// Clears the type (`__kvm_gmem_restore_pending_folio`).
    case callbackClearType
    /// Gives the file its references back (`__kvm_gmem_restore_pending_folio`).
    case callbackRestoreReferences
    /// Releases the folio lock (`kvm_gmem_handle_folio_put`).
    case callbackUnlockFolio
    /// Stores GUEST (`kvm_gmem_handle_folio_put`).
    case callbackStoreGuest
    /// Releases the lock of the state (`kvm_gmem_handle_folio_put`).
    case callbackReleaseLock
    // MARK: The final put hands over to the completer

    /// Marks the folio as queued: its count is zero, so nobody can look it up (`custody_folio_put`).
    case completionEnqueue
    /// Takes a reference for the completer, who may begin now (`custody_folio_put`).
    case completionResurrect
    /// Takes a queued folio (`custody_complete`).
    case completerTake
    /// Takes the lock of the state, exclusively (`custody_complete`).
    case completerTakeLock
    /// Takes the folio lock (`custody_complete`).
    case completerLockFolio
    /// Looks whether the folio is still registered and nobody else refers to it (`custody_complete`).
    case completerCheck
    /// Stores GUEST (`custody_complete`).
    case completerStoreGuest
    /// Clears the type (`custody_complete`).
    case completerClearType
    /// Gives the file its references back (`custody_complete`).
    case completerRestoreReferences
    /// Releases the folio lock (`custody_complete`).
    case completerUnlockFolio
    /// Releases the lock of the state (`custody_complete`).
    case completerReleaseLock
    /// Marks the folio as no longer queued (`custody_complete`).
    case completerDequeue
    // MARK: A request for private memory

    /// Takes the lock of the state, exclusively (`gmem_clear_mappable`).
    case clearTakeLock
    /// Looks at, or freezes, the references (`gmem_clear_mappable`).
    case clearCheck
    /// Stores GUEST (`gmem_clear_mappable`).
    case clearStoreGuest
    /// Gives the count back (`kvm_gmem_offset_clear_shared`).
    case clearUnfreeze
    /// Stores NONE (`gmem_clear_mappable`).
    case clearStoreNone
    /// Releases the folio lock (`gmem_clear_mappable`).
    case clearUnlockFolio
    /// Releases the lock of the state (`gmem_clear_mappable`).
    case clearReleaseLock
    // MARK: Registration

    /// Looks whether the page still waits (`kvm_slot_gmem_is_guest_mappable`).
    case registerSelect
    /// Takes the lock of the state, exclusively (`kvm_slot_gmem_register_callback`).
    case registerTakeLock
    /// Refuses a folio that is mapped or has the type already (`__gmem_register_callback`).
    case registerGuard
    /// Sets the type (`__gmem_register_callback`).
    case registerSetType
    /// Subtracts the file's references and looks at the rest (`__gmem_register_callback`).
    case registerSubtract
    /// Reads the count (`kvm_gmem_register_callback`).
    case registerObserve
    /// Swaps the count that was read for zero (`kvm_gmem_register_callback`).
    case registerFreeze
    /// Sets the type (`kvm_gmem_register_callback`).
    case registerSetTypeFrozen
    /// Gives the count back less the file's references (`kvm_gmem_register_callback`).
    case registerUnfreeze
    /// Stores GUEST (`__gmem_register_callback`).
    case registerStoreGuest
    /// Clears the type (`__kvm_gmem_restore_pending_folio`).
    case registerClearType
    /// Gives the file its references back (`__kvm_gmem_restore_pending_folio`).
    case registerRestoreReferences
    /// Releases the folio lock (`kvm_slot_gmem_register_callback`).
    case registerUnlockFolio
    /// Releases the lock of the state (`kvm_slot_gmem_register_callback`).
    case registerReleaseLock
    /// Reads the answer and decides what to do (`caller`).
    case registerReturn
    /// Waits for the end of the hand-over (`caller`).
    case awaitHandover
    // MARK: A request for shared memory

    /// Takes the lock of the state, exclusively (`gmem_set_mappable`).
    case setTakeLock
    /// Loads the state (`gmem_set_mappable`).
    case setLoad
    /// Looks whether the folio is registered (`gmem_set_mappable`).
    case setCheckType
    /// Clears the type (`__kvm_gmem_restore_pending_folio`).
    case setClearType
    /// Gives the file its references back (`__kvm_gmem_restore_pending_folio`).
    case setRestoreReferences
    /// Stores ALL (`gmem_set_mappable`).
    case setStoreAll
    /// Releases the folio lock (`gmem_set_mappable`).
    case setUnlockFolio
    /// Releases the lock of the state (`gmem_set_mappable`).
    case setReleaseLock
    // MARK: Access by the host

    /// Touches the page through the page table, or faults (`user access`).
    case hostTouch
    /// Takes the invalidate lock, shared (`kvm_gmem_fault`).
    case faultTakeInvalidate
    /// Takes the offsets lock, shared (`kvm_gmem_fault`).
    case faultTakeOffsets
    /// Refuses a broken folio (`kvm_gmem_fault`).
    case faultCheckPoison
    /// Refuses a page that is not shared (`kvm_gmem_fault`).
    case faultCheckMappable
    /// Refuses a folio that is registered (`kvm_gmem_fault`).
    case faultCheckType
    /// Zeroes the folio if nobody did (`kvm_gmem_fault`).
    case faultZero
    /// Releases the offsets lock (`kvm_gmem_fault`).
    case faultReleaseOffsets
    /// Releases the invalidate lock (`kvm_gmem_fault`).
    case faultReleaseInvalidate
    /// Maps the page with the reference of the fault (`finish_fault`).
    case faultMap
    /// Releases the folio lock (`do_shared_fault`).
    case faultUnlockFolio
    /// Releases the folio lock of a refused fault (`kvm_gmem_fault`).
    case faultRefuseUnlockFolio
    /// Removes the page from the page table (`zap_pte_range`).
    case unmapZap
    // MARK: References without the folio lock

    /// Reads the page-table entry (`gup_fast_pte_range`).
    case pinReadEntry
    /// Takes a reference unless the count is zero (`try_grab_folio_fast`).
    case pinTryGet
    /// Looks whether the page-table entry is still the same (`gup_fast_pte_range`).
    case pinRecheck
    /// Touches the page through the reference (`user of the pin`).
    case pinAccess
    /// Finds the folio, as a scanner of physical memory does (`filemap_get_entry`).
    case speculateLoad
    /// Takes a reference unless the count is zero (`folio_try_get`).
    case speculateTryGet
    // MARK: Access by the guest

    /// Touches the page through the guest's page table, or faults (`guest access`).
    case guestTouch
    /// Takes the invalidate lock, shared (`custody_guest_fault`).
    case guestTakeInvalidate
    /// Reads the count of invalidations (`kvm_faultin_pfn`).
    case guestReadSequence
    /// Refuses a broken folio (`kvm_gmem_get_pfn_locked`).
    case guestCheckPoison
    /// Refuses a page in transit; takes and releases the lock of the state, shared
    /// (`kvm_slot_gmem_is_guest_mappable`).
    case guestCheckMappable
    /// Zeroes the folio if nobody did (`kvm_gmem_prepare_folio`).
    case guestZero
    /// Maps the page for the guest unless an invalidation came between (`kvm_pgtable_stage2_map`).
    case guestMap
    /// Releases the folio lock (`guest_memfd abort`).
    case guestUnlockFolio
    /// Releases the invalidate lock (`custody_guest_fault`).
    case guestReleaseInvalidate
    // MARK: Punching a hole and tearing down

    /// Takes the invalidate lock, exclusively (`kvm_gmem_punch_hole`).
    case punchTakeLock
    /// Removes the range from the guest's page table (`kvm_gmem_invalidate_begin`).
    case punchZapGuest
    /// Takes the offsets lock, exclusively (`kvm_gmem_offset_range_invalidate_shared`).
    case punchTakeOffsets
    /// Loads the state (`kvm_gmem_offset_range_invalidate_shared`).
    case punchLoad
    /// Looks whether the folio is registered (`kvm_gmem_offset_range_invalidate_shared`).
    case punchCheckType
    /// Clears the type (`kvm_gmem_restore_pending_folio`).
    case punchClearType
    /// Gives the file its references back (`kvm_gmem_restore_pending_folio`).
    case punchRestoreReferences
    /// Releases the folio lock (`kvm_gmem_offset_range_invalidate_shared`).
    case punchUnlockFolio
    /// Erases the state: the page is ALL (`kvm_gmem_offset_range_invalidate_shared`).
    case punchEraseState
    /// Releases the offsets lock (`kvm_gmem_offset_range_invalidate_shared`).
    case punchReleaseOffsets
    /// Removes the folio from the host's page tables (`truncate_cleanup_folio`).
    case truncateUnmap
    /// Looks whether the folio is registered; if so clears the type (`custody_truncate`).
    case truncateClearType
    /// Gives the file its references back (`custody_truncate`).
    case truncateRestoreReferences
    /// Stores GUEST for the pages in transit: their hand-over ends here (`custody_truncate`).
    case truncateStoreGuest
    /// Removes the folio from the page cache (`page_cache_delete`).
    case truncateRemove
    /// Drops the file's references (`filemap_free_folio`).
    case truncateDropReferences
    /// Releases the folio lock (`truncate_inode_pages_range`).
    case truncateUnlockFolio
    /// Releases the invalidate lock (`kvm_gmem_punch_hole`).
    case punchReleaseLock
    /// Waits until the completer has nothing of this file (`custody_evict`).
    case teardownDrain
    /// Ends the inode (`kvm_gmem_evict_inode`).
    case teardownDestroy
    // MARK: Memory failure

    /// Takes a reference unless the count is zero (`memory_failure`).
    case poisonGet
    /// Marks the folio as broken (`memory_failure`).
    case poisonMark
    /// Takes the folio lock (`memory_failure`).
    case poisonLockFolio
    /// Removes the folio from the host's page tables (`hwpoison_user_mappings`).
    case poisonUnmap
    /// Takes the invalidate lock, shared (`kvm_gmem_error_folio`).
    case poisonTakeLock
    /// Removes the folio from the guest's page table (`kvm_gmem_invalidate_begin`).
    case poisonZapGuest
    /// Releases the invalidate lock (`kvm_gmem_error_folio`).
    case poisonReleaseLock
    /// Releases the folio lock (`memory_failure`).
    case poisonUnlockFolio
    // MARK: In-place conversion

    /// Takes the invalidate lock, exclusively (`kvm_gmem_set_attributes`).
    case convertTakeLock
    /// Looks whether the whole range is there already (`kvm_gmem_range_has_attributes`).
    case convertCheckTarget
    /// Removes the range from the host's page tables (`unmap_mapping_pages`).
    case convertUnmap
    /// Finds the next folio of the range and takes a reference (`filemap_get_folios`).
    case convertGetFolio
    /// Looks whether the folio is mapped, or pinned for a device (`kvm_gmem_is_safe_for_conversion`).
    case convertCheckMapped
    /// Compares the count with the expected one (`kvm_gmem_is_safe_for_conversion`).
    case convertCheckCount
    /// Removes the range from the guest's page table (`kvm_gmem_invalidate_begin`).
    case convertZapGuest
    /// Stores the attributes of the whole range (`mas_store_prealloc`).
    case convertStore
    /// Releases the invalidate lock (`kvm_gmem_set_attributes`).
    case convertReleaseLock
    // MARK: The end

    /// Nothing: the operation has ended (`caller`).
    case done
}

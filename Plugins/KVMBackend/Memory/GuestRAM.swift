import Custody

/// What the guest's RAM is made of in one mode: which memory holds shared pages and which private ones, and what takes a
/// page from one to the other. Offsets and lengths are in bytes.
///
/// A page has the same offset in every memory: its distance from the large page that the lowest address of RAM is in, so
/// that KVM finds large pages of the guest at large pages of the memory. Memory is sparse: holes cost nothing. Slots are bound and removed alike in all modes; where a mode needs more than that to make a page
/// private, it is one call: ``convert(_:to:in:)``.
protocol GuestRAM: Sendable {
    /// What shared pages, and those of the host alone, have their bytes in.
    var sharedMemory: any GuestMemory { get }

    /// What private pages have their bytes in; it may be the same.
    var privateMemory: any GuestMemory { get }

    /// Where the host finds shared pages, and where it looks for private ones, as addresses in this process.
    var windows: (shared: UInt, private: UInt) { get }

    /// The backing that a slot of private pages is bound to. Where it is ``Backing/shared``, one slot serves both kinds,
    /// and a conversion is a call of ``convert(_:to:in:)``.
    var privateBacking: Backing { get }

    /// What a slot of a backing is made of: the memory that KVM finds by its address, and the guest_memfd it is bound to.
    func slotMemory(of backing: Backing) -> (user: any GuestMemory, guestMemfd: GuestMemoryFile?)

    /// Makes pages private or shared by one call of the mode's own.
    ///
    /// - Throws: what the kernel says; nothing has changed then.
    func convert(
        _ pages: FilePages,
        to target: Visibility,
        in machine: borrowing VirtualMachine
    ) throws(KVMError) -> ConversionAttempt
}

extension GuestRAM {
    /// Whether a conversion leaves the bytes before behind in another memory, where they must be dropped.
    var leavesStaleBytes: Bool { sharedMemory !== privateMemory }

    /// What pages have their bytes in.
    func memory(of visibility: Visibility) -> any GuestMemory {
        visibility == .private ? privateMemory : sharedMemory
    }

    /// Where the host finds pages, or looks for them.
    var windows: (shared: UInt, private: UInt) { (sharedMemory.address, privateMemory.address) }

    /// Binds a slot to pages, or changes the flags of one that is bound to them.
    func bind(
        _ slot: UInt32,
        to range: PageRange,
        offset: UInt64,
        _ backing: Backing,
        flags: UInt32 = 0,
        in machine: borrowing VirtualMachine
    ) throws(KVMError) {
        let memory = slotMemory(of: backing)
        try machine.addSlot(
            slot,
            guestAddress: range.address.rawValue,
            size: range.byteCount,
            hostAddress: memory.user.address + UInt(offset),
            guestMemfd: memory.guestMemfd,
            offset: offset,
            flags: flags
        )
    }
}

import Custody

/// What the guest's RAM is made of in one mode: which memory holds shared pages and which private ones, and what takes a
/// page from one to the other. Offsets and lengths are in bytes.
///
/// A page has the same offset in every file: its distance from the lowest address of RAM. Files are sparse, so that
/// holes cost nothing. Slots are bound and removed alike in all modes; where a mode needs more than that to make a page
/// private, it is one call: ``convert(_:to:in:)``.
protocol GuestRAM: Sendable {
    /// The file that shared pages, and those of the host alone, have their bytes in.
    var sharedFile: GuestMemoryFile { get }

    /// The file that private pages have their bytes in; it may be the same one.
    var privateFile: GuestMemoryFile { get }

    /// Where the host finds shared pages, and where it looks for private ones, as addresses in this process.
    var windows: (shared: UInt, private: UInt) { get }

    /// The backing that a slot of private pages is bound to. Where it is ``Backing/shared``, one slot serves both kinds,
    /// and a conversion is a call of ``convert(_:to:in:)``.
    var privateBacking: Backing { get }

    /// What a slot of a backing is made of: the memory that KVM finds by its address, and the guest_memfd it is bound to.
    func slotMemory(of backing: Backing) -> (user: GuestMemoryFile, guestMemfd: GuestMemoryFile?)

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
    /// Whether a conversion leaves the bytes before behind in another file, where they must be dropped.
    var leavesStaleBytes: Bool { sharedFile !== privateFile }

    /// The file that pages have their bytes in.
    func file(of visibility: Visibility) -> GuestMemoryFile { visibility == .private ? privateFile : sharedFile }

    /// Where the host finds pages, or looks for them.
    var windows: (shared: UInt, private: UInt) { (sharedFile.map.address, privateFile.map.address) }

    /// Binds a slot to pages.
    func bind(
        _ slot: UInt32,
        to range: PageRange,
        offset: UInt64,
        _ backing: Backing,
        in machine: borrowing VirtualMachine
    ) throws(KVMError) {
        let memory = slotMemory(of: backing)
        try machine.addSlot(
            slot,
            guestAddress: range.address.rawValue,
            size: range.byteCount,
            hostAddress: memory.user.map.address + UInt(offset),
            guestMemfd: memory.guestMemfd,
            offset: offset
        )
    }
}

/// The host's right to touch pages of the guest, for as long as the value lives.
///
/// While it lives, its pages cannot change hands; its end is the final put. Forgetting to release one cannot be
/// expressed, and releasing one twice does not compile.
public struct HostLease: ~Copyable, Sendable {
    /// The lease's number in its ledger.
    public let id: LeaseID
    /// The pages.
    public let range: PageRange
    /// What kind of reference it is.
    public let kind: LeaseKind
    /// Who holds it.
    public let holder: Holder

    private let memory: any HostMemory
    /// Let go of last: whoever owns the ledger sees to it that nothing ends on the thread that releases a lease.
    private let owner: any LeaseOwner

    /// For ledger owners: a lease that has been entered.
    public init(
        id: LeaseID,
        range: PageRange,
        kind: LeaseKind,
        holder: Holder,
        owner: any LeaseOwner,
        memory: any HostMemory
    ) {
        self.id = id
        self.range = range
        self.kind = kind
        self.holder = holder
        self.memory = memory
        self.owner = owner
    }

    deinit { owner.release(id) }

    /// Ends the lease here rather than where the value goes out of scope.
    public consuming func release() {}

    /// Copies bytes of the guest into `bytes`, filling it.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/invalidArgument`` for bytes beyond the lease, or what the
    ///   back end reports.
    public func read(_ bytes: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError) {
        try check(address, bytes.count)
        try memory.read(&bytes, from: address)
    }

    /// Copies `bytes` into the guest.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/invalidArgument`` for bytes beyond the lease, or what the
    ///   back end reports.
    public func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError) {
        try check(address, bytes.count)
        try memory.write(bytes, to: address)
    }

    private func check(_ address: GuestPhysicalAddress, _ byteCount: Int) throws(BackendError) {
        guard byteCount > 0 else { return }
        guard let touched = try? PageRange(touching: address, byteCount: UInt64(byteCount)), range.contains(touched)
        else { throw BackendError(.invalidArgument, "\(byteCount) bytes at \(address) are not within the lease") }
    }
}

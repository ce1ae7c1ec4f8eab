public import Custody

// The host's access.
extension MemoryController {
    /// Gives the host a right to touch pages until the lease is released.
    ///
    /// `drain` is called on the executor whenever somebody wants pages of the lease, so that the holder can let
    /// go of it. It is a wish: what becomes of it is the holder's to decide.
    ///
    /// - Throws: ``AccessError`` for the first page that the host may not have.
    /// - Complexity: O(log *n* + *k*) for *k* runs in the range.
    public func lease(
        _ range: PageRange,
        _ kind: LeaseKind,
        for holder: Holder,
        onDrain drain: (@Sendable (DrainRequest) -> Void)? = nil
    ) throws(AccessError) -> HostLease {
        let id: LeaseID
        do {
            id = try enter(range, kind, holder, drain)
        } catch {
            emit(.leaseRefused(kind, range, holder, error))
            throw error
        }
        emit(.leased(id, kind, range, holder))
        return HostLease(id: id, range: range, kind: kind, holder: holder, owner: self, memory: backend)
    }

    /// Copies bytes of the guest into `bytes`, filling it; the pages cannot change hands meanwhile.
    ///
    /// - Throws: ``AccessError``.
    public func read(
        _ bytes: inout MutableSpan<UInt8>,
        from address: GuestPhysicalAddress,
        for holder: Holder
    ) throws(AccessError) {
        guard bytes.count > 0 else { return }
        let lease = try access(address, bytes.count, holder)
        do { try lease.read(&bytes, from: address) } catch { throw .backend(error) }
    }

    /// Copies `bytes` into the guest; the pages cannot change hands meanwhile.
    ///
    /// - Throws: ``AccessError``.
    public func write(
        _ bytes: Span<UInt8>,
        to address: GuestPhysicalAddress,
        for holder: Holder
    ) throws(AccessError) {
        guard bytes.count > 0 else { return }
        let lease = try access(address, bytes.count, holder)
        do { try lease.write(bytes, to: address) } catch { throw .backend(error) }
    }

    func access(
        _ address: GuestPhysicalAddress,
        _ byteCount: Int,
        _ holder: Holder
    ) throws(AccessError) -> HostLease {
        let range: PageRange
        do {
            range = try PageRange(touching: address, byteCount: UInt64(byteCount))
        } catch {
            throw .invalid(error)
        }
        return try lease(range, .access, for: holder)
    }

    func enter(
        _ range: PageRange,
        _ kind: LeaseKind,
        _ holder: Holder,
        _ drain: (@Sendable (DrainRequest) -> Void)?
    ) throws(AccessError) -> LeaseID {
        if let hole = layout.firstHole(in: range) { throw .hole(hole) }
        let now = executor.now
        return try state.withLock { state throws(AccessError) -> LeaseID in
            if let lost = state.lost { throw .backend(lost) }
            for run in state.ownership.runs(in: range) where !run.state.allows(.host) {
                let page = run.range.start
                guard run.state == .inTransit else { throw .notOwned(page, run.state) }
                throw .inTransit(page, state.claims.first { $0.covers(page) }?.handover?.ticket.id)
            }
            let id = state.ledger.enter(LeaseLedger.Entry(range: range, kind: kind, holder: holder, since: now))
            if let drain { state.drains[id] = drain }
            return id
        }
    }
}

extension MemoryController: LeaseOwner {
    /// Takes a lease back. What waited for it goes on, on the executor.
    public func release(_ lease: LeaseID) {
        let (entry, ready) = state.withLock { state in
            let entry = state.ledger.remove(lease)
            if !state.drains.isEmpty { state.drains[lease] = nil }
            guard let entry, !state.claims.isEmpty else { return (entry, [Handover]()) }
            let ready = state.takeReady { $0.overlaps(entry.range) }
            return (entry, ready)
        }
        if let entry { emit(.released(lease, entry.kind, entry.range, entry.holder)) }
        for handover in ready { executor.submit { [weak self] in self?.run(handover) } }
    }
}

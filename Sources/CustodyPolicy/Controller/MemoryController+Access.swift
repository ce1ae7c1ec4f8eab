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
    /// - Complexity: O(log *n*) in the number of runs; leases cost nothing. The controller's lock is taken once, and
    ///   nothing is allocated.
    public func read(
        _ bytes: inout MutableSpan<UInt8>,
        from address: GuestPhysicalAddress,
        for holder: Holder
    ) throws(AccessError) {
        guard bytes.count > 0 else { return }
        let access = try beginAccess(address, bytes.count, holder)
        var failure: BackendError?
        do { try backend.read(&bytes, from: address) } catch { failure = error }
        endAccess(access, holder)
        if let failure { throw .backend(failure) }
    }

    /// Copies `bytes` into the guest; the pages cannot change hands meanwhile.
    ///
    /// - Throws: ``AccessError``.
    /// - Complexity: as ``read(_:from:for:)``.
    public func write(
        _ bytes: Span<UInt8>,
        to address: GuestPhysicalAddress,
        for holder: Holder
    ) throws(AccessError) {
        guard bytes.count > 0 else { return }
        let access = try beginAccess(address, bytes.count, holder)
        var failure: BackendError?
        do { try backend.write(bytes, to: address) } catch { failure = error }
        endAccess(access, holder)
        if let failure { throw .backend(failure) }
    }

    /// A copy under way: its number, its pages, and its place on the board, or none where it has a lease in the ledger.
    struct Access {
        let id: LeaseID
        let range: PageRange
        let place: Int?
    }

    private func beginAccess(
        _ address: GuestPhysicalAddress,
        _ byteCount: Int,
        _ holder: Holder
    ) throws(AccessError) -> Access {
        let range: PageRange
        do {
            range = try PageRange(touching: address, byteCount: UInt64(byteCount))
        } catch {
            throw .invalid(error)
        }
        do throws(AccessError) {
            if let hole = layout.firstHole(in: range) { throw .hole(hole) }
            let now = executor.now
            let access = try state.withLock { state throws(AccessError) -> Access in
                try state.checkHostHas(range)
                if let place = state.accesses.enter(range, holder, now) {
                    return Access(id: state.ledger.nextNumber(), range: range, place: place)
                }
                let entry = LeaseLedger.Entry(range: range, kind: .access, holder: holder, since: now)
                return Access(id: state.ledger.enter(entry), range: range, place: nil)
            }
            emit(.leased(access.id, .access, range, holder))
            return access
        } catch {
            emit(.leaseRefused(.access, range, holder, error))
            throw error
        }
    }

    private func endAccess(_ access: Access, _ holder: Holder) {
        guard let place = access.place else { return release(access.id) }
        let isWaitedFor = accesses.giveBack(place)
        emit(.released(access.id, .access, access.range, holder))
        guard isWaitedFor else { return }
        let ready = state.withLock { state in
            let ready = state.takeReady { $0.overlaps(access.range) }
            if !state.claims.contains(where: { $0.phase == .draining }) { accesses.forgetWaiting() }
            return ready
        }
        for handover in ready { executor.submit { [weak self] in self?.run(handover) } }
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
            try state.checkHostHas(range)
            let id = state.ledger.enter(LeaseLedger.Entry(range: range, kind: kind, holder: holder, since: now))
            if let drain { state.drains[id] = drain }
            return id
        }
    }
}

extension ControllerState {
    /// - Throws: ``AccessError`` for the first page that the host may not have.
    fileprivate func checkHostHas(_ range: PageRange) throws(AccessError) {
        if let lost { throw .backend(lost) }
        for run in ownership.runs(in: range) where !run.state.allows(.host) {
            let page = run.range.start
            guard run.state == .inTransit else { throw .notOwned(page, run.state) }
            throw .inTransit(page, claims.first { $0.covers(page) }?.handover?.ticket.id)
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

public import Custody

// The host's access.
extension MemoryController {
    /// Gives the host a right to touch pages until the lease is released.
    ///
    /// `drain` is called on a thread of the executor when somebody wants pages of the lease, so that the holder can let
    /// go of it. It is a wish: what becomes of it is the holder's to decide. It may take its time: nobody else waits for
    /// it.
    ///
    /// - Throws: ``AccessError`` for the first page that the host may not have.
    /// - Complexity: O(log *n* + *k*) for *k* runs in the range.
    public func lease(
        _ range: PageRange,
        _ kind: LeaseKind,
        for holder: Holder,
        onDrain drain: (@Sendable (DrainRequest) -> Void)? = nil
    ) throws(AccessError) -> HostLease {
        let id = try enter(range, kind, holder, drain)
        return HostLease(id: id, range: range, kind: kind, holder: holder, owner: self, memory: backend)
    }

    private func enter(
        _ range: PageRange,
        _ kind: LeaseKind,
        _ holder: Holder,
        _ drain: (@Sendable (DrainRequest) -> Void)?
    ) throws(AccessError) -> LeaseID {
        var step: UInt64?
        do {
            let id = try enter(range, kind, holder, drain, &step)
            if isObserved(kind) { emit(.leased(id, kind, range, holder), of: step) }
            return id
        } catch {
            if isObserved(kind) { emit(.leaseRefused(kind, range, holder, error), of: step) }
            throw error
        }
    }

    /// Copies bytes of the guest into `bytes`, filling it; the pages cannot change hands meanwhile.
    ///
    /// - Throws: ``AccessError``.
    /// - Complexity: O(log *n*) in the number of regions of RAM; runs and leases cost nothing. No lock is taken, nothing
    ///   is allocated, and threads write to no memory in common, unless pages change hands at the moment, more than 64
    ///   copies are under way, or an observer wants to be told of each.
    public func read(
        _ bytes: inout MutableSpan<UInt8>,
        from address: GuestPhysicalAddress,
        for holder: Holder
    ) throws(AccessError) {
        try access(address, bytes.count, holder) { () throws(BackendError) in
            try backend.read(&bytes, from: address)
        }
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
        try access(address, bytes.count, holder) { () throws(BackendError) in
            try backend.write(bytes, to: address)
        }
    }

    /// What became of a copy that needs no lock.
    private enum Copy {
        case done
        case failed(BackendError)
        /// It has to be asked for under the lock.
        case undecided
    }

    /// Copies in a place on the board where the pages are allowed without the lock, else with a lease in the ledger.
    @inline(__always)
    private func access(
        _ address: GuestPhysicalAddress,
        _ byteCount: Int,
        _ holder: Holder,
        _ copy: () throws(BackendError) -> Void
    ) throws(AccessError) {
        guard byteCount > 0 else { return }
        let range: PageRange
        do {
            range = try PageRange(touching: address, byteCount: UInt64(byteCount))
        } catch {
            throw .invalid(error)
        }
        if !areAccessesObserved {
            switch unsafe withUnsafePointer(to: holder, { unsafe tryCopy(range, $0, copy) }) {
            case .done: return
            case .failed(let error): throw .backend(error)
            case .undecided: break
            }
        }
        let lease = try enter(range, .access, holder, nil)
        var failure: BackendError?
        do { try copy() } catch { failure = error }
        // A copy waits for its observer as it has done when it began.
        leave(lease, isPrompt: false)
        if let failure { throw .backend(failure) }
    }

    @inline(__always) @unsafe
    private func tryCopy(
        _ range: PageRange,
        _ holder: UnsafePointer<Holder>,
        _ copy: () throws(BackendError) -> Void
    ) -> Copy {
        unsafe withUnsafePointer(to: AccessBoard.Record(range: range, holder: holder)) { record in
            guard let place = unsafe accesses.enter(record) else { return .undecided }
            var result = Copy.undecided
            if hostAccess.allows(range) {
                do throws(BackendError) {
                    try copy()
                    result = .done
                } catch { result = .failed(error) }
            }
            if accesses.leave(place) { wake(range) }
            return result
        }
    }

    /// Lets go on what waited for a copy of pages, on the executor.
    @inline(never)
    private func wake(_ range: PageRange) {
        let isFirst = state.withLock { $0.noteReleased(range) }
        if isFirst { advanceReleased() }
    }

    private func isObserved(_ kind: LeaseKind) -> Bool { kind != .access || areAccessesObserved }

    func enter(
        _ range: PageRange,
        _ kind: LeaseKind,
        _ holder: Holder,
        _ drain: (@Sendable (DrainRequest) -> Void)?,
        _ step: inout UInt64?
    ) throws(AccessError) -> LeaseID {
        if callee == .policy {
            throw .backend(BackendError(.invalidArgument, "a policy decides and holds no pages", range: range))
        }
        if let hole = layout.firstHole(in: range) { throw .hole(hole) }
        let now = executor.now
        return try state.withLock { state throws(AccessError) -> LeaseID in
            step = self.step()
            try state.checkHostHas(range)
            let id = state.ledger.enter(LeaseLedger.Entry(range: range, kind: kind, holder: holder, since: now))
            if let drain { state.drains.add(id, drain) }
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
            let claim = try? PageRange(page)
            throw .inTransit(page, claim.flatMap { claims.meeting($0).first }?.handover?.ticket.id)
        }
    }
}

extension MemoryController: LeaseOwner {
    /// Takes a lease back. What waited for it goes on, on the executor, and there observers are told.
    ///
    /// - Complexity: O(log *n*) in the numbers of leases and of runs of changes under way, expected.
    public func release(_ lease: LeaseID) {
        // A policy has the lock: it lets go when it has decided.
        if callee == .policy { return executor.submit { self.release(lease) } }
        leave(lease, isPrompt: true)
    }

    private func leave(_ lease: LeaseID, isPrompt: Bool) {
        // The callback is dropped without the lock.
        let (entry, step, isFirst, callback) = state.withLock { state in
            let entry = state.ledger.remove(lease)
            let step = self.step()
            let callback = state.drains.isEmpty ? nil : state.drains.remove(lease)
            return (entry, step, entry.map { state.noteReleased($0.range) } ?? false, callback)
        }
        _ = callback
        if let entry, isObserved(entry.kind) {
            let kind = ControllerEvent.Kind.released(lease, entry.kind, entry.range, entry.holder)
            if isPrompt { post(kind, of: step) } else { emit(kind, of: step) }
        }
        if isFirst { advanceReleased() }
    }
}

public import Custody
import CustodyProtocols

/// A guest that exists in this process alone: real bytes, virtual time, one seed.
///
/// Its pages change hands by the step machine of a `HandoverProtocol`, the same one that the checker explores.
public final class SimulationBackend: MemoryBackend {
    /// What the simulation can do.
    public let capabilities: Capabilities
    /// Where the guest has RAM.
    public let layout: GuestMemoryLayout
    /// The ownership that the guest begins with.
    public let initialOwnership: PageRunMap<Ownership>
    /// The virtual time.
    public let clock = VirtualExecutor()

    let options: SimulationOptions
    let processors: Int
    let file: FileLayout
    /// The latency of a change in nanoseconds, so that a quarter more can be told.
    let latency: UInt64
    let state: Locked<SimulationState>

    /// A simulated guest whose pages begin in the given ownership, by default in the one of the options.
    ///
    /// The map has the bounds of the guest's layout; a page in transit counts as private.
    ///
    /// - Complexity: O(*k*) in the number of runs of `ownership`.
    public init(
        guest: GuestConfiguration,
        options: SimulationOptions = SimulationOptions(),
        ownership: PageRunMap<Ownership>? = nil
    ) {
        let bounds = guest.layout.bounds
        let initial = ownership ?? PageRunMap(bounds: bounds, state: options.initial)
        layout = guest.layout
        processors = guest.processors
        initialOwnership = initial
        self.options = options
        file = FileLayout(guest.layout)
        latency = min(Timestamp.zero.advanced(by: options.latency).rawValue, .max / 2)
        capabilities = SimulationBackend.capabilities(options, granularity: guest.layout.granularity)
        var reclaimed = PageRunMap(bounds: bounds, state: false)
        for run in initial.runs where run.state == .host { reclaimed.set(run.range, to: true) }
        let folios = options.memory.rawValue / PageSize.base.bytes / UInt64(options.pagesPerFolio)
        let world = SparseWorld(
            mappability: file.mappability(initial),
            pagesPerFolio: UInt64(options.pagesPerFolio),
            folioLimit: Int(min(folios, UInt64(UInt32.max) - 1))
        )
        let random = SplitMix64(seed: options.seed)
        let kernel = SimulatedKernel(
            options.handover,
            world,
            options.interleaves ? .adversarial(random) : .callerFirst
        )
        state = Locked(
            SimulationState(kernel: kernel, reclaimed: reclaimed, random: random, faults: FaultPlan(options.faults))
        )
    }

    /// A fresh simulation of the same guest, with the same options, in which nothing goes wrong and nothing takes time.
    public func withoutFaults(for guest: GuestConfiguration) -> SimulationBackend {
        var options = options
        options.faults = []
        options.latency = .zero
        return SimulationBackend(guest: guest, options: options, ownership: initialOwnership)
    }

    /// The largest guest, in bytes: more than any processor addresses.
    static let maximumGuestBytes: UInt64 = 1 << 52

    /// What a simulation with these options can do.
    static func capabilities(_ options: SimulationOptions, granularity: PageSize) -> Capabilities {
        Capabilities(
            granularity: granularity,
            enforcement: .process,
            contents: .init(
                toPrivate: options.contents,
                toShared: options.contents,
                toHost: options.modules ? .zeroed : options.contents
            ),
            pendingHandovers: .ledgerAndBackend,
            transitAccess: .asBefore,
            reclaim: options.modules ? .askingGuest : .offeredByGuest,
            hostUnit: options.modules ? .region : .granularity,
            takesRequestsBack: !options.modules,
            maximumProcessors: 1024,
            populate: false,
            hotplug: options.modules,
            maximumGuestBytes: maximumGuestBytes
        )
    }

    /// The virtual time.
    public var executor: any CompletionExecutor { clock }

    /// The scripted guest.
    public var guestAgent: (any GuestAgent)? { self }

    /// Names the receiver of completions.
    public func report(to observer: any BackendObserver) { state.withLock { $0.observer = observer } }

    // MARK: Changes

    /// Checks that the pages are there and as the change says.
    public func prepare(_ change: OwnershipChange) throws(BackendError) -> PreparedChange {
        if let hole = layout.firstHole(in: change.range) {
            throw BackendError(.invalidArgument, "there is no memory at \(hole.address)", range: change.range)
        }
        let reservation = try state.withLock { state throws(BackendError) -> Reservation in
            try inject(.prepare, change.range, &state)
            guard isOwned(change.range, change.from, state) else {
                throw BackendError(.invalidArgument, "the pages are not all \(change.from)", range: change.range)
            }
            state.nextNumber += 1
            return Reservation(rawValue: state.nextNumber)
        }
        return PreparedChange(change, reservation: reservation, of: self)
    }

    /// Moves the pages by the protocol.
    public func commit(_ prepared: consuming PreparedChange) throws(BackendError) -> CommitOutcome {
        let change = prepared.change
        let reservation = try prepared.take(for: self)
        let moved = try state.withLock { state throws(BackendError) -> Moved in
            try inject(.commit, change.range, &state)
            let moved = if let waits = register(change, &state) { waits } else { try move(change, &state) }
            if case .completed = moved { keepStale(change, reservation, &state) }
            // Up to a quarter more than the latency, in whole nanoseconds.
            let part = state.random.next() % 256
            clock.charge(nanoseconds: latency + latency / 1024 * part + latency % 1024 * part / 1024)
            return moved
        }
        submitWork()
        switch moved {
        case .completed: return .completed(CommittedChange(change, reservation: reservation, of: self))
        case .blocked(let blockers): return .blocked(by: blockers)
        case .pending(let handover, let blockers): return .pending(handover, blockers: blockers)
        }
    }

    /// Forgets the bytes that were kept aside.
    public func finish(_ committed: consuming CommittedChange) -> ContentsEffect {
        let change = committed.change
        guard let reservation = committed.take(for: self) else { return .unspecified }
        state.withLock { state in
            if !state.stale.isEmpty { state.stale.removeValue(forKey: reservation) }
        }
        if change.to == .host, options.modules { returnMemory(of: change.range) }
        return capabilities.contentsEffect(of: change.to)
    }

    /// Moves the pages back, with the bytes that they had.
    public func undo(_ committed: consuming CommittedChange) throws(BackendError) {
        let change = committed.change
        guard let reservation = committed.take(for: self) else {
            throw BackendError(.invalidArgument, "the change was made by another back end", range: change.range)
        }
        try state.withLock { state throws(BackendError) in
            let back = OwnershipChange(
                range: change.range,
                from: change.to,
                to: change.from,
                initiator: change.initiator
            )
            guard case .completed = try move(back, &state) else {
                throw lose("a change cannot be taken back: somebody holds the pages", change.range, &state)
            }
            state.released.removeAll { $0 == change.range }
            guard options.contents == .zeroed else { return }
            let stale = state.stale.removeValue(forKey: reservation) ?? []
            state.kernel.withWorld { world in
                for page in file.pages(of: change.range) where world.written(page) != nil {
                    world.store(SimulationBackend.zeroes, in: page, 0)
                }
                for (page, bytes) in stale { world.store(bytes[...], in: page, 0) }
            }
        }
    }

    /// Nothing is held for a change that is only prepared.
    public func releaseReservation(_ reservation: Reservation, of change: OwnershipChange) {}

    /// Makes the pages of a pending hand-over shared again, as the protocol does.
    public func withdraw(_ handover: BackendHandover) -> Bool {
        let isWithdrawn = state.withLock { state in
            if forget(handover, &state) { return true }
            guard let pending = state.pending[handover], !isComplete(pending, state) else { return false }
            state.pending.removeValue(forKey: handover)
            _ = state.kernel.call(pending.pages.operation(.convertToShared))
            if pending.change.from == .host { state.reclaimed.set(pending.change.range, to: true) }
            return true
        }
        submitWork()
        return isWithdrawn
    }

    /// Punches the pages out of the file, and empties those of a folio that stays.
    public func discardContents(of range: PageRange) throws(BackendError) {
        if let hole = layout.firstHole(in: range) {
            throw BackendError(.invalidArgument, "there is no memory at \(hole.address)", range: range)
        }
        try state.withLock { state throws(BackendError) in
            try inject(.discard, range, &state)
            let pages = file.pages(of: range)
            let result = state.kernel.call(pages.operation(.punchHole))
            guard result.stuck == .none else { throw stuck(result.stuck, range, &state) }
            state.kernel.withWorld { world in
                for page in pages where world.written(page) != nil {
                    world.store(SimulationBackend.zeroes, in: page, 0)
                }
            }
        }
        submitWork()
    }

    /// Refuses further changes.
    public func shutDown() {
        state.withLock { state in
            if state.lost == nil { state.lost = BackendError(.lost, "the guest has been shut down") }
        }
    }
}

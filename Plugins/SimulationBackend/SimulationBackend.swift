public import Custody
import Synchronization

/// A guest that exists in this process alone: real bytes, virtual time, one seed.
public final class SimulationBackend: MemoryBackend {
    /// What a committed change took from the memory, until it is finished or undone.
    private struct Stale {
        let pages: [UInt64: SparseMemory.Page]
    }

    private struct State {
        var ownership: PageRunMap<Ownership>
        var memory = SparseMemory()
        var stale: [Reservation: Stale] = [:]
        var nextReservation: UInt64 = 0
        var random: SplitMix64
        var isShutDown = false
    }

    /// What the simulation can do.
    public let capabilities: Capabilities
    /// Where the guest has RAM.
    public let layout: GuestMemoryLayout
    /// Pages start shared.
    public let initialOwnership = Ownership.shared
    /// The virtual time.
    public let clock = VirtualExecutor()

    private let options: SimulationOptions
    private let processors: Int
    private let state: Mutex<State>

    /// A simulated guest.
    public init(guest: GuestConfiguration, options: SimulationOptions = SimulationOptions()) {
        layout = guest.layout
        processors = guest.processors
        self.options = options
        capabilities = SimulationBackend.capabilities(options, granularity: guest.layout.granularity)
        state = Mutex(
            State(
                ownership: PageRunMap(bounds: guest.layout.bounds, state: initialOwnership),
                random: SplitMix64(seed: options.seed)
            )
        )
    }

    /// What a simulation with these options can do.
    static func capabilities(_ options: SimulationOptions, granularity: PageSize) -> Capabilities {
        Capabilities(
            granularity: granularity,
            enforcement: .process,
            contents: .init(toPrivate: options.contents, toShared: options.contents, toHost: options.contents),
            pendingHandovers: .ledger,
            transitAccess: .denied,
            reclaim: .offeredByGuest,
            maximumProcessors: 1024,
            populate: false,
            hotplug: false,
            maximumGuestBytes: 1 << 52
        )
    }

    /// The virtual time.
    public var executor: any CompletionExecutor { clock }

    /// The scripted guest.
    public var guestAgent: (any GuestAgent)? { self }

    /// A simulation completes every change at once, so it has nothing to report.
    public func report(to observer: any BackendObserver) {}

    /// Checks that the pages are there and as the change says.
    public func prepare(_ change: OwnershipChange) throws(BackendError) -> PreparedChange {
        let reservation = try state.withLock { state throws(BackendError) -> Reservation in
            if state.isShutDown { throw BackendError(.lost, "the guest has been shut down", range: change.range) }
            guard state.ownership.isUniform(change.range, change.from) else {
                throw BackendError(.invalidArgument, "the pages are not all \(change.from)", range: change.range)
            }
            state.nextReservation += 1
            return Reservation(rawValue: state.nextReservation)
        }
        return PreparedChange(change, reservation: reservation, of: self)
    }

    /// Moves the pages; their bytes are kept aside where the new owner is to read zeroes.
    public func commit(_ prepared: consuming PreparedChange) throws(BackendError) -> CommitOutcome {
        let change = prepared.change
        let reservation = try prepared.take(for: self)
        let jitter = state.withLock { state -> Duration in
            state.ownership.set(change.range, to: change.to)
            if options.contents != .preserved {
                let pages = state.memory.take(change.range)
                if !pages.isEmpty { state.stale[reservation] = Stale(pages: pages) }
            }
            return options.latency * Double(state.random.next(upperBound: UInt64(256))) / 1024
        }
        clock.charge(options.latency + jitter)
        return .completed(CommittedChange(change, reservation: reservation, of: self))
    }

    /// Forgets the bytes that were kept aside.
    public func finish(_ committed: consuming CommittedChange) -> ContentsEffect {
        guard let reservation = committed.take(for: self) else { return .unspecified }
        state.withLock { state in _ = state.stale.removeValue(forKey: reservation) }
        return options.contents
    }

    /// Moves the pages back, with the bytes that they had.
    public func undo(_ committed: consuming CommittedChange) throws(BackendError) {
        let change = committed.change
        guard let reservation = committed.take(for: self) else { return }
        state.withLock { state in
            state.ownership.set(change.range, to: change.from)
            guard options.contents != .preserved else { return }
            state.memory.put(change.range, state.stale.removeValue(forKey: reservation)?.pages ?? [:])
        }
    }

    /// Nothing is held for a change that is only prepared.
    public func releaseReservation(_ reservation: Reservation, of change: OwnershipChange) {}

    /// Nothing is ever pending here.
    public func withdraw(_ handover: BackendHandover) -> Bool { false }

    /// Empties the pages.
    public func discardContents(of range: PageRange) throws(BackendError) {
        if let hole = layout.firstHole(in: range) {
            throw BackendError(.invalidArgument, "there is no memory at \(hole.address)", range: range)
        }
        state.withLock { state in _ = state.memory.take(range) }
    }

    /// Refuses further changes.
    public func shutDown() { state.withLock { $0.isShutDown = true } }

    // MARK: Access

    private func firstDenied(_ address: GuestPhysicalAddress, _ byteCount: Int, to party: Party) throws(BackendError)
        -> GuestPhysicalAddress?
    {
        let range: PageRange
        do {
            range = try PageRange(touching: address, byteCount: UInt64(byteCount))
        } catch {
            throw BackendError(.invalidArgument, "\(byteCount) bytes at \(address): \(error)")
        }
        if let hole = layout.firstHole(in: range) {
            throw BackendError(.invalidArgument, "there is no memory at \(hole.address)", range: range)
        }
        let page = state.withLock { state in
            state.ownership.runs(in: range).first { !$0.state.allows(party) }?.range.start
        }
        return page.map { max($0.address, address) }
    }

    private func checkHost(_ address: GuestPhysicalAddress, _ byteCount: Int) throws(BackendError) {
        guard let denied = try firstDenied(address, byteCount, to: .host) else { return }
        let fault = HostFault(
            enforcement: .process,
            address: denied,
            evidence: "the simulation has no mapping for the host"
        )
        throw BackendError(.accessDenied, "the host cannot reach \(denied)", fault: fault)
    }
}

extension SimulationBackend: HostMemory {
    /// Copies bytes out, unless the host may not have one of the pages.
    public func read(_ bytes: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError) {
        guard bytes.count > 0 else { return }
        try checkHost(address, bytes.count)
        let count = bytes.count
        let copy = state.withLock { $0.memory.read(count, from: address) }
        for index in copy.indices { bytes[index] = copy[index] }
    }

    /// Copies bytes in, unless the host may not have one of the pages.
    public func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError) {
        guard bytes.count > 0 else { return }
        try checkHost(address, bytes.count)
        let copy = unsafe bytes.withUnsafeBufferPointer { unsafe [UInt8]($0) }
        state.withLock { $0.memory.write(copy, to: address) }
    }
}

extension SimulationBackend: GuestAgent {
    /// The number of virtual processors.
    public var processorCount: Int { processors }

    /// Performs the operation on the caller's thread.
    public func perform(
        _ operation: GuestOperation,
        on processor: Int,
        answeringTo handler: any GuestRequestHandler
    ) throws(BackendError) -> GuestOutcome {
        guard (0..<processors).contains(processor) else {
            throw BackendError(.invalidArgument, "the guest has no processor \(processor)")
        }
        switch operation {
        case .write(let bytes, let address):
            guard !bytes.isEmpty else { return .written }
            if let denied = try firstDenied(address, bytes.count, to: .guest) { return .fault(denied) }
            state.withLock { $0.memory.write(bytes, to: address) }
            return .written
        case .read(let count, let address):
            guard count > 0 else { return .bytes([]) }
            if let denied = try firstDenied(address, count, to: .guest) { return .fault(denied) }
            return .bytes(state.withLock { $0.memory.read(count, from: address) })
        case .request(let address, let byteCount, let target):
            let request = GuestRequest(processor: processor, address: address, byteCount: byteCount, target: target)
            return .reply(handler.handle(request))
        }
    }
}

public import Custody
public import CustodyProtocols
import Synchronization

/// A guest that exists in this process alone: real bytes, virtual time, one seed.
///
/// Its pages change hands by the step machine of a `HandoverProtocol`, the same one that the checker explores.
public final class SimulationBackend: MemoryBackend {
    /// Bytes that a committed change took from a page, until it is finished or undone.
    private typealias Stale = [(page: PageOffset, bytes: [UInt8])]

    /// A hand-over that the protocol completes by itself.
    private struct Pending {
        let change: OwnershipChange
        let pages: PageOffsets
    }

    private struct State {
        var kernel: SimulatedKernel
        /// The pages that the guest has given up.
        var reclaimed: PageRunMap<Bool>
        var stale: [Reservation: Stale] = [:]
        var pending: [BackendHandover: Pending] = [:]
        var nextNumber: UInt64 = 0
        var random: SplitMix64
        var faults: FaultPlan
        var lost: BackendError?
        var isWorkSubmitted = false
        weak var observer: (any BackendObserver)?
    }

    /// What the simulation can do.
    public let capabilities: Capabilities
    /// Where the guest has RAM.
    public let layout: GuestMemoryLayout
    /// The ownership that the guest begins with.
    public let initialOwnership: PageRunMap<Ownership>
    /// The virtual time.
    public let clock = VirtualExecutor()

    private let options: SimulationOptions
    private let processors: Int
    private let file: FileLayout
    /// The latency of a change in nanoseconds.
    private let latency: UInt64
    private let state: Mutex<State>

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
        latency = Timestamp.zero.advanced(by: options.latency).rawValue
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
        state = Mutex(
            State(kernel: kernel, reclaimed: reclaimed, random: random, faults: FaultPlan(options.faults))
        )
    }

    /// The largest guest, in bytes: more than any processor addresses.
    static let maximumGuestBytes: UInt64 = 1 << 52

    /// What a simulation with these options can do.
    static func capabilities(_ options: SimulationOptions, granularity: PageSize) -> Capabilities {
        Capabilities(
            granularity: granularity,
            enforcement: .process,
            contents: .init(toPrivate: options.contents, toShared: options.contents, toHost: options.contents),
            pendingHandovers: .ledgerAndBackend,
            transitAccess: .asBefore,
            reclaim: .offeredByGuest,
            maximumProcessors: 1024,
            populate: false,
            hotplug: false,
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
            let moved = try move(change, &state)
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
        guard let reservation = committed.take(for: self) else { return .unspecified }
        state.withLock { state in
            if !state.stale.isEmpty { state.stale.removeValue(forKey: reservation) }
        }
        return options.contents
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

    // MARK: Moving

    private enum Moved {
        case completed
        case blocked([Blocker])
        case pending(BackendHandover, [Blocker])
    }

    private func move(_ change: OwnershipChange, _ state: inout State) throws(BackendError) -> Moved {
        let range = change.range
        let pages = file.pages(of: range)
        if change.to == .private {
            try inject(.unmap, range, &state)
            // The monitor's own mappings go first; that nobody of it uses them is the ledger's to know.
            // A folio counts as mapped while any page of it is.
            let folios = pages.covering(
                folios: state.kernel.world.pagesPerFolio,
                within: state.kernel.world.pageCount
            )
            try call(folios.operation(.hostUnmap), range, &state)
            let answer = try call(pages.operation(.convertToPrivate, behavior: .leaves), range, &state)
            if !state.kernel.world.isUniform(pages.first, pages.count, .guest) {
                return try unfinished(change, pages, answer, &state)
            }
        } else if change.from == .private {
            try call(pages.operation(.convertToShared), range, &state)
        }
        if change.to == .host {
            state.kernel.withWorld { world in
                for page in pages where world.page(page).isGuestMapped {
                    var entry = world.page(page)
                    entry.isGuestMapped = false
                    world.setPage(page, to: entry)
                }
            }
        }
        if change.to == .host || change.from == .host { state.reclaimed.set(range, to: change.to == .host) }
        return .completed
    }

    /// A conversion to private that did not get everywhere: all of it is registered, or none of it stays.
    private func unfinished(
        _ change: OwnershipChange,
        _ pages: PageOffsets,
        _ answer: Answer,
        _ state: inout State
    ) throws(BackendError) -> Moved {
        let isAllRegistered = pages.allSatisfy { page in
            let mappability = state.kernel.world.page(page).mappability
            return mappability == .guest || mappability == .none && isRegistered(page, state)
        }
        let blockers = self.blockers(of: change.range, pages, state)
        if isAllRegistered {
            state.nextNumber += 1
            let handover = BackendHandover(rawValue: state.nextNumber)
            state.pending[handover] = Pending(change: change, pages: pages)
            if change.from == .host { state.reclaimed.set(change.range, to: false) }
            return .pending(handover, blockers)
        }
        try call(pages.operation(.convertToShared), change.range, &state)
        guard answer.outcome == .failed else { return .blocked(blockers) }
        throw BackendError(
            answer.kernel == .noMemory ? .resourcesExhausted : .system,
            "the kernel answered \(answer.kernel.name)",
            range: change.range
        )
    }

    private func isRegistered(_ page: PageOffset, _ state: State) -> Bool {
        guard let folio = state.kernel.world.cachedFolio(at: page) else { return false }
        let flags = state.kernel.world.folio(folio).flags
        return flags.contains(.guestmem) || flags.contains(.queued)
    }

    private func isOwned(_ range: PageRange, _ ownership: Ownership, _ state: State) -> Bool {
        let pages = file.pages(of: range)
        guard state.reclaimed.isUniform(range, ownership == .host) else { return false }
        return state.kernel.world.isUniform(pages.first, pages.count, ownership == .private ? .guest : .all)
    }

    /// Who stands in the way, as far as the kernel knows: the processes that hold references.
    private func blockers(of range: PageRange, _ pages: PageOffsets, _ state: State) -> [Blocker] {
        var blockers: [Blocker] = []
        for (index, page) in pages.enumerated() {
            guard state.kernel.world.page(page).mappability != .guest,
                let held = try? PageRange(PageNumber(range.start.rawValue + UInt64(index)))
            else { continue }
            let isMapped = state.kernel.world.page(page).hostMappings != 0
            let names = state.kernel.holders(of: page)
            guard isMapped || !names.isEmpty else { continue }
            for name in names.isEmpty ? ["another address space"] : names {
                blockers.append(
                    Blocker(
                        holder: Holder(device: name),
                        range: held,
                        kind: isMapped ? .mapping : .pin,
                        since: clock.now
                    )
                )
            }
        }
        return blockers
    }

    @discardableResult
    private func call(
        _ operation: CustodyProtocols.Operation,
        _ range: PageRange,
        _ state: inout State
    ) throws(BackendError) -> Answer {
        let result = state.kernel.call(operation)
        guard result.stuck == .none else { throw stuck(result.stuck, range, &state) }
        return result.answer
    }

    private func stuck(_ wait: Wait, _ range: PageRange, _ state: inout State) -> BackendError {
        lose("the kernel is deadlocked: a call waits for \(wait.text)", range, &state)
    }

    private func lose(_ message: String, _ range: PageRange, _ state: inout State) -> BackendError {
        let error = BackendError(.lost, message, range: range)
        state.lost = error
        return error
    }

    /// Keeps the bytes of pages aside whose next owner is to read zeroes.
    private func keepStale(_ change: OwnershipChange, _ reservation: Reservation, _ state: inout State) {
        guard options.contents == .zeroed else { return }
        let pages = file.pages(of: change.range)
        let stale: Stale = state.kernel.withWorld { world in
            var stale: Stale = []
            for page in pages {
                guard let bytes = world.written(page) else { continue }
                stale.append((page, bytes))
                world.store(SimulationBackend.zeroes, in: page, 0)
            }
            return stale
        }
        if !stale.isEmpty { state.stale[reservation] = stale }
    }

    private static let zeroes = [UInt8](repeating: 0, count: Int(PageSize.base.bytes))[...]

    // MARK: What goes wrong

    private func inject(_ point: Fault.Point, _ range: PageRange, _ state: inout State) throws(BackendError) {
        if let lost = state.lost { throw lost }
        for effect in state.faults.count(point) {
            switch effect {
            case .fail(let code): throw BackendError(code, "injected at \(point.rawValue)", range: range)
            case .delay(let duration): clock.charge(duration)
            case .poison(let address):
                guard let page = file.offset(of: address.page) else { continue }
                try call(Operation(.poison, start: page), range, &state)
            case .lose:
                let error = lose("injected at \(point.rawValue)", range, &state)
                let observer = state.observer
                clock.submit { observer?.backendLost(error) }
                throw error
            }
        }
    }

    // MARK: Completion

    private func isComplete(_ pending: Pending, _ state: State) -> Bool {
        state.kernel.world.isUniform(pending.pages.first, pending.pages.count, .guest)
    }

    /// Hands the kernel's worker, and the report of what it completes, to the executor.
    private func submitWork() {
        let delay: Duration? = state.withLock { state in
            let isDue = state.kernel.hasWork || state.pending.values.contains { isComplete($0, state) }
            guard isDue, !state.isWorkSubmitted else { return nil }
            state.isWorkSubmitted = true
            var delay = Duration.zero
            for case .delay(let more) in state.faults.count(.complete) { delay += more }
            return delay
        }
        guard let delay else { return }
        let work: @Sendable () -> Void = { [weak self] in self?.work() }
        if delay == .zero { clock.submit(work) } else { clock.submit(at: clock.now.advanced(by: delay), work) }
    }

    private func work() {
        let (completed, observer) = state.withLock { state in
            state.isWorkSubmitted = false
            state.kernel.complete()
            let completed = state.pending.filter { isComplete($0.value, state) }
                .sorted { $0.key.rawValue < $1.key.rawValue }
            for (handover, pending) in completed {
                state.pending.removeValue(forKey: handover)
                keepStale(pending.change, Reservation(rawValue: handover.rawValue), &state)
            }
            return (completed, state.observer)
        }
        for (handover, pending) in completed {
            let reservation = Reservation(rawValue: handover.rawValue)
            observer?.handoverCompleted(
                handover,
                CommittedChange(pending.change, reservation: reservation, of: self)
            )
        }
    }
}

// MARK: Access

extension SimulationBackend: HostMemory {
    /// Copies bytes out, unless the host may not have one of the pages.
    public func read(_ bytes: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError) {
        let copy = try touch(address, bytes.count, by: .host) { world, page, offset, _, count in
            world.bytes(of: page, offset, count)
        }
        for index in copy.indices { bytes[index] = copy[index] }
    }

    /// Copies bytes in, unless the host may not have one of the pages.
    public func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError) {
        let copy = unsafe bytes.withUnsafeBufferPointer { unsafe [UInt8]($0) }
        try write(copy, to: address, by: .host)
    }

    private func write(_ bytes: [UInt8], to address: GuestPhysicalAddress, by party: Party) throws(BackendError) {
        _ = try touch(address, bytes.count, by: party) { world, page, offset, position, count in
            world.store(bytes[position..<(position + count)], in: page, offset)
            return []
        }
    }

    /// Has a party touch each page by the protocol, and then its bytes. What stops it is the protocol's answer.
    private func touch(
        _ address: GuestPhysicalAddress,
        _ byteCount: Int,
        by party: Party,
        _ body: (inout SparseWorld, PageOffset, Int, Int, Int) -> [UInt8]
    ) throws(BackendError) -> [UInt8] {
        guard byteCount > 0 else { return [] }
        let range: PageRange
        do {
            range = try PageRange(touching: address, byteCount: UInt64(byteCount))
        } catch {
            throw BackendError(.invalidArgument, "\(byteCount) bytes at \(address): \(error)")
        }
        if let hole = layout.firstHole(in: range) {
            throw BackendError(.invalidArgument, "there is no memory at \(hole.address)", range: range)
        }
        return try state.withLock { state throws(BackendError) -> [UInt8] in
            if let lost = state.lost { throw lost }
            var result: [UInt8] = []
            var position = 0
            var at = address
            for page in file.pages(of: range) {
                let offset = Int(at.offsetInPage)
                let count = min(byteCount - position, Int(PageSize.base.bytes) - offset)
                try fault(page, at, by: party, &state)
                result += state.kernel.withWorld { body(&$0, page, offset, position, count) }
                position += count
                at = at.advanced(by: UInt64(count)) ?? at
            }
            return result
        }
    }

    private func fault(
        _ page: PageOffset,
        _ address: GuestPhysicalAddress,
        by party: Party,
        _ state: inout State
    ) throws(BackendError) {
        let range = try? PageRange(address.page)
        if state.kernel.world.cachedFolio(at: page) == nil, let range { try inject(.populate, range, &state) }
        if party == .guest, state.reclaimed[address.page] == true {
            throw denied(address, "the guest has given the page up")
        }
        let result = state.kernel.call(Operation(party == .host ? .hostAccess : .guestAccess, start: page))
        if result.stuck != .none, let range { throw stuck(result.stuck, range, &state) }
        switch result.answer.kernel {
        case .success: return
        case .poisoned: throw BackendError(.poisoned, "the memory at \(address) is broken", range: range)
        case .noMemory:
            throw BackendError(.resourcesExhausted, "there is no memory left to back \(address)", range: range)
        default:
            throw denied(address, "the fault handler answered \(result.answer.kernel.name)")
        }
    }

    private func denied(_ address: GuestPhysicalAddress, _ evidence: String) -> BackendError {
        let fault = HostFault(enforcement: .process, address: address, evidence: evidence)
        return BackendError(.accessDenied, "\(address) is out of reach", fault: fault)
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
        do {
            switch operation {
            case .write(let bytes, let address):
                try write(bytes, to: address, by: .guest)
                return .written
            case .read(let count, let address):
                return .bytes(
                    try touch(address, count, by: .guest) { world, page, offset, _, count in
                        world.bytes(of: page, offset, count)
                    }
                )
            case .request(let address, let byteCount, let target):
                let request = GuestRequest(
                    processor: processor,
                    address: address,
                    byteCount: byteCount,
                    target: target
                )
                return .reply(handler.handle(request))
            }
        } catch {
            guard let fault = error.fault else { throw error }
            return .fault(fault.address)
        }
    }
}

extension SimulationBackend: KernelDriver {
    /// Makes a call of the kernel's own.
    public func call(_ operation: CustodyProtocols.Operation, frame: UInt64) -> DrivenResult? {
        guard let operation = place(operation, frame) else { return nil }
        let result = state.withLock { $0.kernel.call(operation) }
        submitWork()
        return result
    }

    /// Starts a process.
    public func begin(
        _ name: String,
        _ operation: CustodyProtocols.Operation,
        frame: UInt64,
        isStopped: Bool
    ) -> Bool {
        guard let operation = place(operation, frame) else { return false }
        return state.withLock { $0.kernel.begin(name, operation, isStopped: isStopped) }
    }

    /// Makes steps of a process.
    public func advance(_ name: String, steps: Int) -> Wait? {
        let wait = state.withLock { $0.kernel.advance(name, steps: steps) }
        submitWork()
        return wait
    }

    /// Lets a process go on to its end.
    public func finish(_ name: String) -> DrivenResult? {
        let result = state.withLock { $0.kernel.finish(name) }
        submitWork()
        return result
    }

    /// The page of the file that backs a frame.
    public func offset(frame: UInt64) -> PageOffset? { file.offset(of: PageNumber(frame)) }

    /// What the kernel has for a page.
    public func state(frame: UInt64) -> (page: PageState, folio: FolioState?)? {
        guard let offset = file.offset(of: PageNumber(frame)) else { return nil }
        return state.withLock { state in
            let world = state.kernel.world
            return (world.page(offset), world.cachedFolio(at: offset).map(world.folio))
        }
    }

    /// Everything out of the ordinary that has happened so far.
    public var events: Events { state.withLock { $0.kernel.events } }

    private func place(_ operation: CustodyProtocols.Operation, _ frame: UInt64) -> CustodyProtocols.Operation? {
        guard let offset = file.offset(of: PageNumber(frame)) else { return nil }
        var placed = operation
        placed.start = offset
        return placed
    }
}

public import Custody
public import CustodyProtocols

/// A back end with another one beside it that does the same: the first answer, reach or content that differs, as far as
/// both promise it, ends the guest's run and is kept with what both sides look like.
///
/// The one beside it is a simulation as a rule. What the real one cannot help (resources that run out, references that
/// only it sees) is no difference; the other one then does not make the change either. Other processes, a kernel that is
/// driven and the guest's own accesses are driven on both where they come from a script; of a guest that runs by itself
/// only the ownership is compared, with `comparesContents` off. What the other one cannot follow is in ``uncompared``.
public final class LockstepBackend: MemoryBackend {
    /// A value that cannot be copied, kept for both sides.
    private final class Pair<Value: ~Copyable & Sendable>: Sendable {
        let real: Locked<Value?>
        let twin: Locked<Value?>

        init(_ real: consuming Value, _ twin: consuming Value) {
            self.real = Locked(real)
            self.twin = Locked(twin)
        }
    }

    /// Where the other one is with a change that the real one completes by itself.
    private enum Following {
        /// It makes the change when the real one has: nobody holds the pages on its side.
        case later
        /// It waits for the same.
        case waiting(BackendHandover)
    }

    private struct State {
        var prepared: [Reservation: Pair<PreparedChange>] = [:]
        var committed: [Reservation: Pair<CommittedChange>] = [:]
        /// What the real one completes by itself, with where the other one is.
        var pending: [BackendHandover: Following] = [:]
        /// Pages whose bytes are not promised on both sides.
        var unknown: PageRunMap<Bool>
        var nextNumber: UInt64 = 1
        var difference: LockstepDifference?
        var uncompared: [String] = []
        weak var observer: (any BackendObserver)?
    }

    /// The back end that counts: what it can do is what both can.
    public let real: any MemoryBackend
    /// The one beside it.
    public let twin: any MemoryBackend
    private let comparesContents: Bool
    private let state: Locked<State>
    /// What the other one has reported.
    private let reports = TwinReports()
    /// The threads that are driving both at the moment.
    private let drivers = Monitor<[UInt]>([])

    /// How many pages of a range are looked at: all of them, or so many at equal distances.
    private static let lookedAt: UInt64 = 16

    /// Two back ends of the same guest, neither of which has changed anything yet.
    ///
    /// - Throws: `BackendError` where they are not of the same guest.
    public init(
        _ real: any MemoryBackend,
        beside twin: any MemoryBackend,
        comparesContents: Bool = true
    ) throws(BackendError) {
        guard real.layout == twin.layout, real.initialOwnership == twin.initialOwnership else {
            throw BackendError(.invalidArgument, "the two back ends do not begin with the same guest")
        }
        self.real = real
        self.twin = twin
        self.comparesContents = comparesContents
        state = Locked(State(unknown: PageRunMap(bounds: real.layout.bounds, state: false)))
        twin.report(to: reports)
    }

    /// The first difference, where there is one.
    public var difference: LockstepDifference? { state.withLock { $0.difference } }

    /// What was done on the real one alone, because the other one has no such ability: once each, the first first. The two
    /// are in step where this is empty and there is no difference.
    public var uncompared: [String] { state.withLock { $0.uncompared } }

    /// What the real one can do.
    public var capabilities: Capabilities { real.capabilities }
    /// The layout of both.
    public var layout: GuestMemoryLayout { real.layout }
    /// The ownership that both begin with.
    public var initialOwnership: PageRunMap<Ownership> { real.initialOwnership }
    /// The real one's.
    public var executor: any CompletionExecutor { real.executor }
    /// The real one's guest, with the other one doing the same.
    public var guestAgent: (any GuestAgent)? {
        real.guestAgent.map { LockstepGuest($0, beside: twin.guestAgent, of: self) }
    }
    /// The real one's. There is nothing of it that could be seen, and compared.
    public var populator: (any MemoryPopulator)? { real.populator }
    /// The real one's, which is not compared: what a log may report beside what was written is its own affair.
    public var dirtyLog: (any DirtyLog)? { real.dirtyLog }
    /// The real one's, held against the other one's.
    public var memoryMeter: (any MemoryMeter)? {
        real.memoryMeter.map { LockstepMeter($0, beside: twin.memoryMeter, of: self) }
    }
    /// The real one's processes, with the other one's doing the same.
    public var neighbours: (any Neighbours)? {
        real.neighbours.map { LockstepNeighbours($0, beside: twin.neighbours, of: self) }
    }

    /// Names the receiver of what the real one reports.
    public func report(to observer: any BackendObserver) {
        state.withLock { $0.observer = observer }
        real.report(to: self)
    }

    // MARK: Changes

    /// Has both prepare.
    public func prepare(_ change: OwnershipChange) throws(BackendError) -> PreparedChange {
        try checkInStep()
        let prepared = try real.prepare(change)
        let other: PreparedChange
        do {
            other = try twin.prepare(change)
        } catch {
            throw note("prepare \(change)", change.range, "prepared", "\(error)")
        }
        let pair = Pair(prepared, other)
        return PreparedChange(change, reservation: keep { $0.prepared[$1] = pair }, of: self)
    }

    /// Has both commit, and compares what the host can reach afterwards.
    public func commit(_ prepared: consuming PreparedChange) throws(BackendError) -> CommitOutcome {
        let change = prepared.change
        let reservation = try prepared.take(for: self)
        let pair = state.withLock { $0.prepared.removeValue(forKey: reservation) }
        guard let pair, let first = pair.real.withLock({ $0.take() }) else {
            throw BackendError(.invalidArgument, "the change was not prepared", range: change.range)
        }
        switch try real.commit(first) {
        case .completed(let committed): return .completed(try follow(change, consume committed, pair))
        case .blocked(let blockers):
            // References that both see leave their marks on both.
            if sharesReferences { _ = try wait(change, pair) }
            return .blocked(by: blockers)
        case .pending(let handover, let blockers):
            let following = sharesReferences ? try wait(change, pair, mayStay: true) : .later
            state.withLock { $0.pending[handover] = following }
            return .pending(handover, blockers: blockers)
        }
    }

    /// Whether who holds pages on one side holds them on the other one.
    private var sharesReferences: Bool {
        kernelDriver != nil && (twin as? any KernelDriven)?.kernelDriver != nil
            || real.neighbours != nil && twin.neighbours != nil
    }

    /// Has the other one begin a change that the real one has not made. What it can make at once it takes back.
    private func wait(
        _ change: OwnershipChange,
        _ pair: Pair<PreparedChange>,
        mayStay: Bool = false
    ) throws(BackendError) -> Following {
        guard let second = pair.twin.withLock({ $0.take() }) else { return .later }
        let call = "commit \(change)"
        let outcome: CommitOutcome
        do { outcome = try twin.commit(second) } catch { throw note(call, change.range, "waits", "\(error)") }
        switch consume outcome {
        case .completed(let done):
            do { try twin.undo(done) } catch { throw note(call, change.range, "waits", "\(error)") }
        case .blocked: break
        case .pending(let handover, _):
            if mayStay { return .waiting(handover) }
            if !twin.withdraw(handover) { try drop(handover, call, change.range) }
        }
        return .later
    }

    /// Takes back what the other one has completed, and the real one has not.
    private func drop(_ handover: BackendHandover, _ call: String, _ range: PageRange) throws(BackendError) {
        twin.executor.drain()
        guard let done = reports.takeCompleted(handover) else { return }
        do { try twin.undo(done) } catch { throw note(call, range, "not made", "\(error)") }
    }

    /// Has the other one make a change that the real one has made at once.
    private func follow(
        _ change: OwnershipChange,
        _ committed: consuming CommittedChange,
        _ pair: Pair<PreparedChange>
    ) throws(BackendError) -> CommittedChange {
        guard let second = pair.twin.withLock({ $0.take() }) else {
            throw BackendError(.invalidArgument, "the change was not prepared", range: change.range)
        }
        return try follow(change, consume committed, second)
    }

    private func follow(
        _ change: OwnershipChange,
        _ committed: consuming CommittedChange,
        _ second: consuming PreparedChange
    ) throws(BackendError) -> CommittedChange {
        let call = "commit \(change)"
        let outcome: CommitOutcome
        do { outcome = try twin.commit(second) } catch { throw note(call, change.range, "committed", "\(error)") }
        switch consume outcome {
        case .completed(let done): return try join(change, consume committed, consume done)
        case .blocked(let blockers): throw note(call, change.range, "committed", "blocked by \(blockers)")
        case .pending(let handover, let blockers):
            return try complete(change, consume committed, handover, "pending, held by \(blockers)")
        }
    }

    /// Takes up what the other one has completed by itself, as the real one has.
    private func complete(
        _ change: OwnershipChange,
        _ committed: consuming CommittedChange,
        _ handover: BackendHandover,
        _ otherwise: String
    ) throws(BackendError) -> CommittedChange {
        twin.executor.drain()
        if let done = reports.takeCompleted(handover) {
            return try join(change, consume committed, consume done)
        }
        let failure = reports.takeFailure(handover)
        if failure == nil { _ = twin.withdraw(handover) }
        throw note("commit \(change)", change.range, "committed", failure.map { "\($0)" } ?? otherwise)
    }

    /// Makes one change of both.
    private func join(
        _ change: OwnershipChange,
        _ committed: consuming CommittedChange,
        _ other: consuming CommittedChange
    ) throws(BackendError) -> CommittedChange {
        twin.executor.drain()
        let done = Pair(consume committed, consume other)
        let reservation = keep { $0.committed[$1] = done }
        // The bytes are final when the change is.
        try compareReach("commit \(change)", change.range, withBytes: false)
        return CommittedChange(change, reservation: reservation, of: self)
    }

    /// Has both finish, and compares the bytes that the host may read, as far as both promise them.
    public func finish(_ committed: consuming CommittedChange) -> ContentsEffect {
        let change = committed.change
        guard let reservation = committed.take(for: self),
            let pair = state.withLock({ $0.committed.removeValue(forKey: reservation) }),
            let first = pair.real.withLock({ $0.take() }), let second = pair.twin.withLock({ $0.take() })
        else { return .unspecified }
        let effect = real.finish(first)
        let other = twin.finish(second)
        let isPromised = effect == other && (effect == .zeroed || effect == .preserved)
        if !isPromised || effect == .zeroed {
            // What was not known of zeroed pages is known again.
            state.withLock { $0.unknown.set(change.range, to: !isPromised) }
        }
        if change.to.allows(.host), (try? compareReach("finish \(change)", change.range)) != nil, change.to == .host,
            effect == .zeroed
        {
            // A look at a page may take memory for it, which the change itself has given back.
            do throws(BackendError) {
                for memory in [real, twin] { try memory.discardContents(of: change.range) }
            } catch { noteUncompared("the memory of \(change.range) after it was looked at: \(error.message)") }
        }
        return effect
    }

    /// Has both take a change back.
    public func undo(_ committed: consuming CommittedChange) throws(BackendError) {
        let change = committed.change
        guard let reservation = committed.take(for: self),
            let pair = state.withLock({ $0.committed.removeValue(forKey: reservation) }),
            let first = pair.real.withLock({ $0.take() }), let second = pair.twin.withLock({ $0.take() })
        else {
            throw BackendError(.invalidArgument, "the change was made by another back end", range: change.range)
        }
        try real.undo(first)
        do { try twin.undo(second) } catch {
            throw note("undo \(change)", change.range, "undone", "\(error)")
        }
        try compareReach("undo \(change)", change.range)
    }

    /// Drops what both have prepared.
    public func releaseReservation(_ reservation: Reservation, of change: OwnershipChange) {
        _ = state.withLock { $0.prepared.removeValue(forKey: reservation) }
    }

    /// Withdraws what the real one completes by itself.
    public func withdraw(_ handover: BackendHandover) -> Bool {
        guard real.withdraw(handover) else { return false }
        leave(handover)
        return true
    }

    /// Has the other one not make a change that the real one does not make.
    private func leave(_ handover: BackendHandover) {
        guard case .waiting(let other)? = state.withLock({ $0.pending.removeValue(forKey: handover) }) else { return }
        twin.executor.drain()
        guard reports.takeFailure(other) == nil, !twin.withdraw(other) else { return }
        // The difference is kept where it cannot be taken back.
        try? drop(other, "withdraw hand-over \(handover.rawValue)", layout.bounds)
    }

    /// Has both discard.
    public func discardContents(of range: PageRange) throws(BackendError) {
        try checkInStep()
        try real.discardContents(of: range)
        do { try twin.discardContents(of: range) } catch {
            throw note("discard \(range)", range, "discarded", "\(error)")
        }
        state.withLock { $0.unknown.set(range, to: false) }
        try compareReach("discard \(range)", range)
    }

    /// Ends both.
    public func shutDown() {
        real.shutDown()
        twin.shutDown()
    }

    // MARK: Bytes

    /// Reads from both.
    public func read(_ bytes: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError) {
        try checkInStep()
        let count = bytes.count
        var failure: BackendError?
        do { try real.read(&bytes, from: address) } catch { failure = error }
        let first =
            failure.map { Result<[UInt8], BackendError>.failure($0) } ?? .success(bytes.indices.map { bytes[$0] })
        try compare("read \(count) bytes at \(address)", address, first, LockstepBackend.bytes(count, address, twin))
        if let failure { throw failure }
    }

    /// Writes to both.
    public func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError) {
        try checkInStep()
        var failure: BackendError?
        do { try real.write(bytes, to: address) } catch { failure = error }
        if let failure, failure.code != .accessDenied {
            // How far it got is not known.
            forget(address, bytes.count)
            throw failure
        }
        var other: BackendError?
        do { try twin.write(bytes, to: address) } catch { other = error }
        try compare(
            "write \(bytes.count) bytes at \(address)",
            address,
            failure.map { .failure($0) } ?? .success([]),
            other.map { .failure($0) } ?? .success([])
        )
        if let failure { throw failure }
    }

    private static func bytes(
        _ count: Int,
        _ address: GuestPhysicalAddress,
        _ memory: any MemoryBackend
    ) -> Result<[UInt8], BackendError> {
        var copy = [UInt8](repeating: 0, count: count)
        var span = copy.mutableSpan
        do {
            try memory.read(&span, from: address)
            return .success(copy)
        } catch {
            return .failure(error)
        }
    }

    // MARK: What is driven on both

    /// Notes what is done on the real one alone.
    func noteUncompared(_ what: String) {
        state.withLock { state in
            if !state.uncompared.contains(what) { state.uncompared.append(what) }
        }
    }

    /// Drives both, so that what follows on the real one waits for the other one.
    func drive<Value, Failure: Error>(_ body: () throws(Failure) -> Value) throws(Failure) -> Value {
        let thread = Thread.number
        drivers.update { $0.append(thread) }
        defer {
            // What the other one completes by this is known when somebody else goes on.
            twin.executor.drain()
            drivers.update { threads in
                if let index = threads.firstIndex(of: thread) { threads.remove(at: index) }
            }
        }
        return try body()
    }

    // MARK: What is compared

    private func keep(_ body: (inout State, Reservation) -> Void) -> Reservation {
        state.withLock { state in
            let reservation = Reservation(rawValue: state.nextNumber)
            state.nextNumber += 1
            body(&state, reservation)
            return reservation
        }
    }

    private func checkInStep() throws(BackendError) {
        guard difference != nil else { return }
        throw BackendError(.lost, "the back end is not in step with the one beside it")
    }

    /// Compares what came of one access on both sides: reached or stopped, and the bytes where they are promised.
    func compare(
        _ call: String,
        _ address: GuestPhysicalAddress,
        _ first: Result<[UInt8], BackendError>,
        _ second: Result<[UInt8], BackendError>
    ) throws(BackendError) {
        guard let range = try? PageRange(touching: address, byteCount: 1) else { return }
        switch (first, second) {
        case (.success(let bytes), .success(let others)):
            guard bytes != others, comparesContents, let touched = touched(address, bytes.count), isKnown(touched)
            else {
                return
            }
            throw note(call, touched, "\(bytes.prefix(16))", "\(others.prefix(16))")
        case (.failure(let error), .failure(let other)):
            // Memory that is broken or has run out on one side is nobody's promise.
            guard error.code == .accessDenied, other.code != .accessDenied else { return }
            throw note(call, range, "\(error)", "\(other)")
        case (.success, .failure(let other)): throw note(call, range, "reached", "\(other)")
        case (.failure(let error), .success):
            // Resources that run out are nobody's promise.
            guard error.code == .accessDenied else { return }
            throw note(call, range, "\(error)", "reached")
        }
    }

    private func touched(_ address: GuestPhysicalAddress, _ count: Int) -> PageRange? {
        try? PageRange(touching: address, byteCount: UInt64(max(1, count)))
    }

    /// Compares the bytes of pages no more, until they are known again.
    func forget(_ address: GuestPhysicalAddress, _ count: Int) {
        guard let range = touched(address, count) else { return }
        state.withLock { $0.unknown.set(range, to: true) }
    }

    private func isKnown(_ range: PageRange) -> Bool {
        state.withLock { state in state.unknown.runs(in: range).allSatisfy { !$0.state } }
    }

    /// Compares what the host reaches of some pages, and the bytes that it reads there.
    private func compareReach(_ call: String, _ range: PageRange, withBytes: Bool = true) throws(BackendError) {
        guard capabilities.enforcement != .none else { return }
        // Where the kernels can be looked into nobody has to reach for the pages, which would leave its marks.
        if let first = (real as? any KernelDriven)?.kernelDriver,
            let second = (twin as? any KernelDriven)?.kernelDriver
        {
            return try compareStates(call, range, first, second)
        }
        let count = Int(PageSize.base.bytes)
        for page in sample(range) {
            let first = LockstepBackend.bytes(count, page.address, real)
            let second = LockstepBackend.bytes(count, page.address, twin)
            try compare(
                call,
                page.address,
                withBytes ? first : first.map { _ in [] },
                withBytes ? second : second.map { _ in [] }
            )
        }
    }

    /// Compares whom the kernels let at some pages.
    private func compareStates(
        _ call: String,
        _ range: PageRange,
        _ first: any KernelDriver,
        _ second: any KernelDriver
    ) throws(BackendError) {
        for page in sample(range) {
            let found = first.state(frame: page.rawValue)?.page.mappability
            let other = second.state(frame: page.rawValue)?.page.mappability
            guard found != other else { continue }
            throw note(
                call,
                range,
                "\(page.address): \(found, default: "-")",
                "\(page.address): \(other, default: "-")"
            )
        }
    }

    private func sample(_ range: PageRange) -> [PageNumber] {
        let count = min(range.count, LockstepBackend.lookedAt)
        return (0..<count).map { index in
            // The first and the last page are among them.
            let offset = count < 2 ? 0 : (range.count - 1) / (count - 1) * index
            return PageNumber(index == count - 1 ? range.last.rawValue : range.start.rawValue + offset)
        }
    }

    /// Keeps the first difference, and says that the guest's run is over.
    func note(_ call: String, _ range: PageRange, _ real: String, _ twin: String) -> BackendError {
        let found = LockstepDifference(
            call: call,
            real: LockstepDifference.Side(outcome: real, pages: pages(range, self.real)),
            twin: LockstepDifference.Side(outcome: twin, pages: pages(range, self.twin))
        )
        state.withLock { $0.difference = $0.difference ?? found }
        return BackendError(.lost, "the back end is not in step with the one beside it: \(call)", range: range)
    }

    private func pages(_ range: PageRange, _ memory: any MemoryBackend) -> [String] {
        sample(range).map { page in
            switch LockstepBackend.bytes(16, page.address, memory) {
            case .success(let bytes): "\(page.address): the host reads \(bytes)"
            case .failure(let error): "\(page.address): the host is stopped: \(error)"
            }
        }
    }
}

extension LockstepBackend: BackendObserver {
    private var observer: (any BackendObserver)? { state.withLock { $0.observer } }

    /// Has the other one make the change, too.
    public func handoverCompleted(_ handover: BackendHandover, _ committed: consuming CommittedChange) {
        // Whoever lets go on both sides has done so on one only, perhaps.
        let thread = Thread.number
        drivers.wait { threads in threads.allSatisfy { $0 == thread } ? () : nil }
        guard let following = state.withLock({ $0.pending.removeValue(forKey: handover) }) else { return }
        let change = committed.change
        do throws(BackendError) {
            let done: CommittedChange
            switch following {
            case .later: done = try follow(change, consume committed, try prepareAgain(change))
            case .waiting(let other): done = try complete(change, consume committed, other, "pending")
            }
            observer?.handoverCompleted(handover, done)
        } catch {
            observer?.backendLost(error)
        }
    }

    private func prepareAgain(_ change: OwnershipChange) throws(BackendError) -> PreparedChange {
        do { return try twin.prepare(change) } catch {
            throw note("prepare \(change)", change.range, "prepared", "\(error)")
        }
    }

    /// Passes on who is waited for.
    public func handoverAdvanced(_ handover: BackendHandover, stillHeldBy blockers: [Blocker]) {
        observer?.handoverAdvanced(handover, stillHeldBy: blockers)
    }

    /// Has neither make the change.
    public func handoverFailed(_ handover: BackendHandover, _ error: BackendError) {
        leave(handover)
        observer?.handoverFailed(handover, error)
    }

    /// Passes on what the guest offers.
    public func guestOffers(_ range: PageRange) { observer?.guestOffers(range) }

    /// Passes on what was found; what changed hands unseen the other one has not done.
    public func backendReconnected(finding ownership: PageRunMap<Ownership>) {
        observer?.backendReconnected(finding: ownership)
    }

    /// Passes the loss on.
    public func backendLost(_ error: BackendError) { observer?.backendLost(error) }
}

extension LockstepBackend: KernelDriven {
    /// The real one's kernel, with the other one's doing the same.
    public var kernelDriver: (any KernelDriver)? {
        guard let driver = (real as? any KernelDriven)?.kernelDriver else { return nil }
        return LockstepKernel(driver, beside: (twin as? any KernelDriven)?.kernelDriver, of: self)
    }
}

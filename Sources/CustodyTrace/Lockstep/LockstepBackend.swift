public import Custody

/// A back end with another one beside it that does the same: the first answer, reach or content that differs, as far as
/// both promise it, ends the guest's run and is kept with what both sides look like.
///
/// The one beside it is a simulation as a rule. What the real one cannot help (resources that run out, references that
/// only it sees) is no difference; the other one then does not make the change either. The guest's own accesses are made
/// on both where they come from a script; of a guest that runs by itself only the ownership is compared, with
/// `comparesContents` off.
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

    private struct State {
        var prepared: [Reservation: Pair<PreparedChange>] = [:]
        var committed: [Reservation: Pair<CommittedChange>] = [:]
        /// What the real one completes by itself, with what the other one is to do then.
        var pending: [BackendHandover: Pair<PreparedChange>] = [:]
        /// Pages whose bytes are not promised on both sides.
        var unknown: PageRunMap<Bool>
        var nextNumber: UInt64 = 1
        var difference: LockstepDifference?
        weak var observer: (any BackendObserver)?
    }

    /// The back end that counts: what it can do is what both can.
    public let real: any MemoryBackend
    /// The one beside it.
    public let twin: any MemoryBackend
    private let comparesContents: Bool
    private let state: Locked<State>

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
    }

    /// The first difference, where there is one.
    public var difference: LockstepDifference? { state.withLock { $0.difference } }

    /// What the real one can do.
    public var capabilities: Capabilities { real.capabilities }
    /// The layout of both.
    public var layout: GuestMemoryLayout { real.layout }
    /// The ownership that both begin with.
    public var initialOwnership: PageRunMap<Ownership> { real.initialOwnership }
    /// The real one's.
    public var executor: any CompletionExecutor { real.executor }
    /// The real one's guest, with the other one doing the same where both are scripted.
    public var guestAgent: (any GuestAgent)? {
        guard let agent = real.guestAgent else { return nil }
        guard let other = twin.guestAgent else { return agent }
        return LockstepGuest(agent, beside: other, of: self)
    }
    /// The real one's.
    public var populator: (any MemoryPopulator)? { real.populator }
    /// The real one's.
    public var dirtyLog: (any DirtyLog)? { real.dirtyLog }
    /// The real one's.
    public var memoryMeter: (any MemoryMeter)? { real.memoryMeter }

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
        case .completed(let committed):
            return .completed(try follow(change, consume committed, pair))
        case .blocked(let blockers): return .blocked(by: blockers)
        case .pending(let handover, let blockers):
            state.withLock { $0.pending[handover] = pair }
            return .pending(handover, blockers: blockers)
        }
    }

    /// Has the other one make a change that the real one has made.
    private func follow(
        _ change: OwnershipChange,
        _ committed: consuming CommittedChange,
        _ pair: Pair<PreparedChange>
    ) throws(BackendError) -> CommittedChange {
        let call = "commit \(change)"
        guard let second = pair.twin.withLock({ $0.take() }) else {
            throw BackendError(.invalidArgument, "the change was not prepared", range: change.range)
        }
        let outcome: CommitOutcome
        do { outcome = try twin.commit(second) } catch {
            throw note(call, change.range, "committed", "\(error)")
        }
        let other: CommittedChange
        switch consume outcome {
        case .completed(let done): other = done
        case .blocked(let blockers): throw note(call, change.range, "committed", "blocked by \(blockers)")
        case .pending(let handover, let blockers):
            _ = twin.withdraw(handover)
            throw note(call, change.range, "committed", "pending, held by \(blockers)")
        }
        twin.executor.drain()
        let done = Pair(consume committed, consume other)
        let reservation = keep { $0.committed[$1] = done }
        // The bytes are final when the change is.
        try compareReach(call, change.range, withBytes: false)
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
        if change.to.allows(.host) { _ = try? compareReach("finish \(change)", change.range) }
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
        _ = state.withLock { $0.pending.removeValue(forKey: handover) }
        return true
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
            guard (error.code == .accessDenied) != (other.code == .accessDenied) else { return }
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

    private func isKnown(_ range: PageRange) -> Bool {
        state.withLock { state in state.unknown.runs(in: range).allSatisfy { !$0.state } }
    }

    /// Compares what the host reaches of some pages, and the bytes that it reads there.
    private func compareReach(_ call: String, _ range: PageRange, withBytes: Bool = true) throws(BackendError) {
        guard capabilities.enforcement != .none else { return }
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
        guard let pair = state.withLock({ $0.pending.removeValue(forKey: handover) }) else { return }
        do {
            observer?.handoverCompleted(handover, try follow(committed.change, consume committed, pair))
        } catch {
            observer?.backendLost(error)
        }
    }

    /// Passes on who is waited for.
    public func handoverAdvanced(_ handover: BackendHandover, stillHeldBy blockers: [Blocker]) {
        observer?.handoverAdvanced(handover, stillHeldBy: blockers)
    }

    /// Has neither make the change.
    public func handoverFailed(_ handover: BackendHandover, _ error: BackendError) {
        _ = state.withLock { $0.pending.removeValue(forKey: handover) }
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

package import Custody

/// A back end that keeps book: every call is recorded, and any of them can be told what to answer. It has no memory of its
/// own; another back end behind it can carry out what goes well.
///
/// It holds on to what the contract of ``MemoryBackend`` says about its caller, and notes each time it is broken.
package final class FakeBackend: MemoryBackend {
    /// One call, in the order of arrival.
    package enum Call: Sendable, Hashable, CustomStringConvertible {
        case prepare(OwnershipChange)
        case commit(OwnershipChange)
        case finish(OwnershipChange)
        case undo(OwnershipChange)
        case release(OwnershipChange)
        case withdraw(BackendHandover)

        package var description: String {
            switch self {
            case .prepare(let change): "prepare \(change)"
            case .commit(let change): "commit \(change)"
            case .finish(let change): "finish \(change)"
            case .undo(let change): "undo \(change)"
            case .release(let change): "release \(change)"
            case .withdraw(let handover): "withdraw \(handover.rawValue)"
            }
        }
    }

    /// What becomes of a commit.
    package enum Answer: Sendable {
        case complete
        case fail(BackendError)
        case block([Blocker])
        case pend
        /// Pending, and completed before the commit returns.
        case pendAndComplete
        /// Pending, and given up before the commit returns.
        case pendAndFail(BackendError)
    }

    /// What to answer to the n-th call of a kind, from 1. What is not named goes well.
    package struct Plan: Sendable {
        package var prepare: [Int: BackendError] = [:]
        package var commit: [Int: Answer] = [:]
        package var undo: [Int: BackendError] = [:]
        package var discard: [Int: BackendError] = [:]
        package var withdrawSucceeds = true
        package init() {}
    }

    /// What the back end behind has made and can still take back.
    private final class Made: Sendable {
        private let change: Locked<CommittedChange?>
        init(_ change: consuming CommittedChange) { self.change = Locked(change) }
        func take() -> CommittedChange? { change.withLock { $0.take() } }
    }

    private struct State {
        var made: [Reservation: Made] = [:]
        var initial: PageRunMap<Ownership>
        var plan = Plan()
        var calls: [Call] = []
        var prepares = 0
        var commits = 0
        var undos = 0
        var discards = 0
        var nextReservation: UInt64 = 0
        var nextHandover: UInt64 = 0
        /// Reserved and not committed, or committed and neither finished nor undone.
        var open: [Reservation: OwnershipChange] = [:]
        var waiting: [BackendHandover: (change: OwnershipChange, reservation: Reservation)] = [:]
        var ownership: PageRunMap<Ownership>
        var violations: [String] = []
        var bytes: [UInt64: UInt8] = [:]
        var hook: (@Sendable (Call) -> Void)?
        var isAway = false
        var accessHook: (@Sendable () -> Void)?
        var discardHook: (@Sendable (PageRange) -> Void)?
        weak var observer: (any BackendObserver)?
    }

    package let capabilities: Capabilities
    package let layout: GuestMemoryLayout
    package let executor: any CompletionExecutor
    package var guestAgent: (any GuestAgent)? { behind?.guestAgent }

    private let behind: (any MemoryBackend)?
    private let state: Locked<State>

    package init(
        _ layout: GuestMemoryLayout,
        initially ownership: Ownership = .shared,
        reclaim: Capabilities.Reclaim = .askingGuest,
        contents: ContentsEffect = .zeroed,
        executor: any CompletionExecutor
    ) {
        self.layout = layout
        self.executor = executor
        behind = nil
        let initial = PageRunMap(bounds: layout.bounds, state: ownership)
        capabilities = .ofTest(layout, contents: contents, reclaim: reclaim)
        state = Locked(State(initial: initial, ownership: initial))
    }

    /// A back end in front of another one, in whose ownership the pages begin.
    package init(inFrontOf behind: any MemoryBackend) {
        layout = behind.layout
        executor = behind.executor
        capabilities = behind.capabilities
        self.behind = behind
        state = Locked(State(initial: behind.initialOwnership, ownership: behind.initialOwnership))
    }

    // MARK: What a test says and sees

    package func plan(_ change: @Sendable (inout Plan) -> Void) { state.withLock { change(&$0.plan) } }

    /// Runs at each call, with no lock held, before anything happens.
    package func atEachCall(_ hook: (@Sendable (Call) -> Void)?) { state.withLock { $0.hook = hook } }

    /// Runs in the middle of each copy in or out, with no lock held.
    package func amidEachAccess(_ hook: (@Sendable () -> Void)?) { state.withLock { $0.accessHook = hook } }

    /// Runs in the middle of each discard, with no lock held.
    package func amidEachDiscard(_ hook: (@Sendable (PageRange) -> Void)?) {
        state.withLock { $0.discardHook = hook }
    }

    /// The guest's pages are not all alike when the controller comes.
    package func startFrom(_ change: @Sendable (inout PageRunMap<Ownership>) -> Void) {
        state.withLock { state in
            change(&state.initial)
            state.ownership = state.initial
        }
    }

    package var initialOwnership: PageRunMap<Ownership> { state.withLock { $0.initial } }

    package var calls: [Call] { state.withLock { $0.calls } }

    package func forgetCalls() { state.withLock { $0.calls = [] } }

    package var ownership: PageRunMap<Ownership> { state.withLock { $0.ownership } }

    /// How many calls of each kind there have been.
    package var counts: (prepares: Int, commits: Int, undos: Int, discards: Int) {
        state.withLock { ($0.prepares, $0.commits, $0.undos, $0.discards) }
    }

    /// A controller is started anew: the guest's pages begin as they are.
    package func restart() {
        state.withLock { state in
            state.initial = state.ownership
            state.isAway = false
        }
    }

    /// Has the back end behind make a change, where there is one.
    private func make(_ change: OwnershipChange, _ reservation: Reservation) throws(BackendError) {
        if let behind {
            guard case .completed(let made) = try behind.commit(try behind.prepare(change)) else {
                throw BackendError(.system, "the back end behind does not make it at once")
            }
            let kept = Made(made)
            state.withLock { $0.made[reservation] = kept }
        }
        state.withLock { $0.ownership.set(change.range, to: change.to) }
    }

    /// Reservations and committed changes that nobody has ended.
    package var openChanges: [OwnershipChange] {
        state.withLock { $0.open.values.sorted { $0.range.start < $1.range.start } }
    }

    package var waiting: [BackendHandover] {
        state.withLock { $0.waiting.keys.sorted { $0.rawValue < $1.rawValue } }
    }

    /// Each time a caller broke the contract.
    package var violations: [String] { state.withLock { $0.violations } }

    /// Completes a pending hand-over, as if its last reference had been dropped.
    package func complete(_ handover: BackendHandover) {
        let (taken, observer) = state.withLock { state in
            (state.waiting.removeValue(forKey: handover), state.observer)
        }
        guard let taken else { return }
        do { try make(taken.change, taken.reservation) } catch { return note("\(error)") }
        let committed = CommittedChange(taken.change, reservation: taken.reservation, of: self)
        if let observer { observer.handoverCompleted(handover, committed) }
    }

    /// Gives a pending hand-over up.
    package func fail(_ handover: BackendHandover, _ error: BackendError) {
        let observer: (any BackendObserver)? = state.withLock { state in
            guard let taken = state.waiting.removeValue(forKey: handover) else { return nil }
            state.open.removeValue(forKey: taken.reservation)
            return state.observer
        }
        observer?.handoverFailed(handover, error)
    }

    /// Loses touch with the guest: what is asked for fails until it is back.
    package func disconnect() { state.withLock { $0.isAway = true } }

    /// Pages change hands and nobody is told.
    package func changeBehindTheBack(_ range: PageRange, to ownership: Ownership) {
        let before = self.ownership
        if let behind {
            for run in before.runs(in: range) where run.state != ownership {
                let change = OwnershipChange(range: run.range, from: run.state, to: ownership, initiator: .guest)
                do {
                    guard case .completed(let made) = try behind.commit(try behind.prepare(change)) else { continue }
                    _ = behind.finish(made)
                } catch { note("\(error)") }
            }
        }
        state.withLock { $0.ownership.set(range, to: ownership) }
    }

    private func note(_ violation: String) { state.withLock { $0.violations.append(violation) } }

    /// Is in touch again, and does not carry the given hand-overs out any more.
    package func reconnect(withoutCarryingOut gone: [BackendHandover] = []) {
        state.withLock { $0.isAway = false }
        for handover in gone { fail(handover, FakeBackend.away) }
        let (ownership, observer) = state.withLock { ($0.ownership, $0.observer) }
        observer?.backendReconnected(finding: ownership)
    }

    private static let away = BackendError(.disconnected, "the connection is down")

    package func lose(_ error: BackendError) { state.withLock { $0.observer }?.backendLost(error) }

    // MARK: MemoryBackend

    package func report(to observer: any BackendObserver) { state.withLock { $0.observer = observer } }

    private func note(_ call: Call) {
        let hook = state.withLock { state in
            state.calls.append(call)
            return state.hook
        }
        hook?(call)
    }

    package func prepare(_ change: OwnershipChange) throws(BackendError) -> PreparedChange {
        note(.prepare(change))
        let reservation = try state.withLock { state throws(BackendError) -> Reservation in
            state.prepares += 1
            if state.isAway { throw FakeBackend.away }
            if let error = state.plan.prepare[state.prepares] { throw error }
            for other in state.open.values where other.range.overlaps(change.range) {
                state.violations.append("prepare \(change) while \(other) is under way")
            }
            if !state.ownership.isUniform(change.range, change.from) {
                state.violations.append("prepare \(change), and the pages are not \(change.from)")
            }
            state.nextReservation += 1
            let reservation = Reservation(rawValue: state.nextReservation)
            state.open[reservation] = change
            return reservation
        }
        return PreparedChange(change, reservation: reservation, of: self)
    }

    package func commit(_ prepared: consuming PreparedChange) throws(BackendError) -> CommitOutcome {
        let change = prepared.change
        note(.commit(change))
        let answer = state.withLock { state in
            state.commits += 1
            let planned = state.plan.commit[state.commits] ?? .complete
            return state.isAway ? Answer.fail(FakeBackend.away) : planned
        }
        switch answer {
        case .fail(let error): throw error
        case .block(let blockers): return .blocked(by: blockers)
        case .complete:
            let reservation = try prepared.take(for: self)
            try make(change, reservation)
            return .completed(CommittedChange(change, reservation: reservation, of: self))
        case .pend, .pendAndComplete, .pendAndFail:
            let reservation = try prepared.take(for: self)
            let handover = state.withLock { state in
                state.nextHandover += 1
                let handover = BackendHandover(rawValue: state.nextHandover)
                state.waiting[handover] = (change, reservation)
                return handover
            }
            if case .pendAndComplete = answer { complete(handover) }
            if case .pendAndFail(let error) = answer { fail(handover, error) }
            return .pending(handover, blockers: [])
        }
    }

    package func finish(_ committed: consuming CommittedChange) -> ContentsEffect {
        let change = committed.change
        note(.finish(change))
        if let reservation = committed.take(for: self) {
            close(reservation, "finish")
            if let made = state.withLock({ $0.made.removeValue(forKey: reservation) })?.take() {
                return behind?.finish(made) ?? .unspecified
            }
        }
        return capabilities.contentsEffect(of: change.to)
    }

    package func undo(_ committed: consuming CommittedChange) throws(BackendError) {
        let change = committed.change
        note(.undo(change))
        guard let reservation = committed.take(for: self) else {
            throw BackendError(.invalidArgument, "another back end made the change")
        }
        close(reservation, "undo")
        let made = state.withLock { $0.made.removeValue(forKey: reservation) }
        try state.withLock { state throws(BackendError) in
            state.undos += 1
            if let error = state.plan.undo[state.undos] { throw error }
            state.ownership.set(change.range, to: change.from)
        }
        if let made = made?.take() { try behind?.undo(made) }
    }

    package func releaseReservation(_ reservation: Reservation, of change: OwnershipChange) {
        note(.release(change))
        close(reservation, "release")
    }

    private func close(_ reservation: Reservation, _ verb: String) {
        state.withLock { state in
            if state.open.removeValue(forKey: reservation) == nil {
                state.violations.append("\(verb) of \(reservation.rawValue), which is not open")
            }
        }
    }

    package func withdraw(_ handover: BackendHandover) -> Bool {
        note(.withdraw(handover))
        return state.withLock { state in
            guard state.plan.withdrawSucceeds, let taken = state.waiting.removeValue(forKey: handover) else {
                return false
            }
            state.open.removeValue(forKey: taken.reservation)
            return true
        }
    }

    package func discardContents(of range: PageRange) throws(BackendError) {
        state.withLock { $0.discardHook }?(range)
        try state.withLock { state throws(BackendError) in
            state.discards += 1
            if state.isAway { throw FakeBackend.away }
            if let error = state.plan.discard[state.discards] { throw error }
            for other in state.open.values where other.range.overlaps(range) {
                // What waits for a reference may lose its contents; what is being changed may not.
                let isWaiting = state.waiting.values.contains { $0.change == other }
                if !isWaiting { state.violations.append("discard of \(range) while \(other) is under way") }
            }
        }
        try behind?.discardContents(of: range)
    }

    package func shutDown() {}

    package func read(_ bytes: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError) {
        state.withLock { $0.accessHook }?()
        if let behind { return try behind.read(&bytes, from: address) }
        for index in bytes.indices {
            bytes[index] = state.withLock { $0.bytes[address.rawValue + UInt64(index)] ?? 0 }
        }
    }

    package func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError) {
        state.withLock { $0.accessHook }?()
        if let behind { return try behind.write(bytes, to: address) }
        for index in bytes.indices {
            let byte = bytes[index]
            state.withLock { $0.bytes[address.rawValue + UInt64(index)] = byte }
        }
    }
}

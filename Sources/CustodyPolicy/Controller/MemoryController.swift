public import Custody
import Synchronization

/// The one place that decides who owns which page of a guest, whatever carries it out.
///
/// It validates, asks the policy, keeps new users away, waits for old ones, and drives the back end through prepare,
/// commit and finish. All of it is synchronous on the requester's thread, except what follows a last release or a
/// report of the back end: that runs on the back end's executor. What must be on time, deadlines and time boxes, waits
/// for no call of a back end, a listener, an observer or a holder. A policy decides under the controller's lock, in the
/// step that claims the pages; no lock is held while a back end, a listener or an observer is called.
///
/// When the last reference to a controller goes, what is pending ends on the executor: who lets go does not wait for it.
public final class MemoryController: Sendable {
    /// The back end that carries changes out.
    public let backend: any MemoryBackend
    /// Where the guest has RAM.
    public let layout: GuestMemoryLayout
    /// What the back end can do.
    public let capabilities: Capabilities

    let policy: any Policy
    let limits: ControllerLimits
    let observer: (any ControllerObserver)?
    let executor: any CompletionExecutor
    let pool: SharedPool?
    let state: Locked<ControllerState>
    let accesses: AccessBoard
    let hostAccess: HostAccessMap
    /// Whether somebody wants to be told of copies in and out.
    let areAccessesObserved: Bool
    /// The number of the last step that an observer is told of.
    private let lastStep = Atomic<UInt64>(0)
    private let relay: EventRelay?
    /// The last one: it is destroyed when everything else has been.
    private let farewell: Farewell

    /// A controller of the back end's guest. A back end has one controller for life.
    ///
    /// With a `pool`, this guest and the others of the pool share its bound on shared pages.
    public init(
        backend: any MemoryBackend,
        policy: any Policy,
        limits: ControllerLimits = ControllerLimits(),
        pool: SharedPool? = nil,
        observer: (any ControllerObserver)? = nil
    ) {
        self.backend = backend
        self.policy = policy
        self.limits = limits
        self.observer = observer
        layout = backend.layout
        capabilities = backend.capabilities
        executor = backend.executor
        relay = observer.map { [executor] in EventRelay($0, executor) }
        farewell = Farewell(executor)
        self.pool = pool
        let state = ControllerState(ownership: backend.initialOwnership, layout: layout)
        accesses = state.accesses
        hostAccess = state.hostAccess
        areAccessesObserved = observer?.observesAccesses ?? false
        pool?.charge(state.tally.exposed)
        self.state = Locked(state)
        backend.report(to: self)
    }

    /// Has what is pending ended: nobody is left to complete it.
    deinit {
        let state = state.withLock { $0 }
        let remains = ControllerRemains(state: state, backend: backend, policy: policy, observer: observer, pool: pool)
        if remains.isOver, !executor.runsByItself { remains.end() } else { farewell.keep(remains) }
    }

    /// The ownership of a page, or `nil` where there is no RAM.
    ///
    /// - Complexity: O(log *n*) in the number of runs.
    public func ownership(of page: PageNumber) -> Ownership? {
        guard layout.region(containing: page) != nil else { return nil }
        return look { $0.ownership[page] }
    }

    /// The maximal runs of equal ownership in the RAM of `range`.
    ///
    /// - Complexity: O(*k*) for *k* runs and regions.
    public func runs(in range: PageRange) -> [PageRun<Ownership>] {
        let ownership = look { $0.ownership }
        return layout.regions.compactMap { $0.intersection(range) }.flatMap { ownership.runs(in: $0) }
    }

    /// The ownership that all pages of a range are in; `nil` where they are in several, or there is a hole among them.
    ///
    /// - Complexity: O(log *n*) in the number of runs and regions.
    package func ownership(ofAll range: PageRange) -> Ownership? {
        guard layout.firstHole(in: range) == nil else { return nil }
        return look { $0.ownership }.run(containing: range.start).flatMap { $0.range.contains(range) ? $0.state : nil }
    }

    /// Who of the host holds pages of `range`.
    public func blockers(of range: PageRange) -> [Blocker] {
        let now = executor.now
        return look { $0.blockers(of: range, at: now) }
    }

    /// The number of base pages of RAM by ownership.
    public var tally: OwnershipTally { look { $0.tally } }

    /// Notes that something has happened, now, for rules that ask for it: for example that the guest is launched.
    public func mark(_ name: String) {
        // A policy has the lock: the mark is set when it has decided.
        if callee == .policy { return executor.submit { [weak self] in self?.mark(name) } }
        let now = executor.now
        let step = state.withLock { state in
            state.memory[name] = now
            return self.step()
        }
        emit(.marked(name), of: step, at: now)
    }

    /// The hand-overs that are pending, the oldest first.
    public var pendingTickets: [Ticket] {
        look { $0.claims.all.compactMap { $0.handover?.ticket } }.sorted { $0.id < $1.id }
    }

    func outcome(
        _ status: ConversionOutcome.Status,
        _ range: PageRange,
        stoppedAt: PageNumber? = nil,
        _ changedPages: UInt64 = 0,
        _ contents: ContentsEffect? = nil
    ) -> ConversionOutcome {
        ConversionOutcome(
            status: status,
            range: range,
            stoppedAt: stoppedAt,
            changedPages: changedPages,
            contents: contents ?? .preserved
        )
    }

    /// The number of a step, for its events: taken under the lock by a step that takes effect there.
    func step() -> UInt64 {
        observer == nil ? 0 : lastStep.add(1, ordering: .relaxed).newValue
    }

    /// Tells the observer of a step that has taken effect as the given one, or takes effect now.
    func emit(_ kind: @autoclosure () -> ControllerEvent.Kind, of step: UInt64? = nil, at time: Timestamp? = nil) {
        guard let relay else { return }
        let event = ControllerEvent(sequence: step ?? self.step(), time: time ?? executor.now, kind: kind())
        ForeignCall.run(.observer, of: ObjectIdentifier(self)) { relay.tell(event) }
    }

    /// Has the observer told of a step by another thread: this one must not wait for it.
    func post(_ kind: @autoclosure () -> ControllerEvent.Kind, of step: UInt64) {
        guard let relay else { return }
        relay.post(ControllerEvent(sequence: step, time: executor.now, kind: kind()))
    }
}

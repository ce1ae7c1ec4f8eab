public import Custody
import Synchronization

/// The one place that decides who owns which page of a guest, whatever carries it out.
///
/// It validates, asks the policy, keeps new users away, waits for old ones, and drives the back end through prepare,
/// commit and finish. All of it is synchronous on the requester's thread, except what follows a last release or a
/// report of the back end: that runs on the back end's executor. No lock is held while a back end, a policy or an
/// observer is called.
public final class MemoryController: Sendable {
    private struct State {
        /// The ownership of every page. A claimed page is in transit.
        var ownership: PageRunMap<Ownership>
        var ledger: LeaseLedger
        var claims: [Claim] = []
        var nextClaim: UInt64 = 1
        var nextTicket: UInt64 = 1
        var early: [BackendHandover: EarlyEnd] = [:]
        var lost: BackendError?
    }

    /// The back end that carries changes out.
    public let backend: any MemoryBackend
    /// Where the guest has RAM.
    public let layout: GuestMemoryLayout
    /// What the back end can do.
    public let capabilities: Capabilities

    private let policy: any Policy
    private let limits: ControllerLimits
    private let observer: (any ControllerObserver)?
    private let executor: any CompletionExecutor
    private let state: Mutex<State>

    /// A controller of the back end's guest. A back end has one controller for life.
    public init(
        backend: any MemoryBackend,
        policy: any Policy,
        limits: ControllerLimits = ControllerLimits(),
        observer: (any ControllerObserver)? = nil
    ) {
        self.backend = backend
        self.policy = policy
        self.limits = limits
        self.observer = observer
        layout = backend.layout
        capabilities = backend.capabilities
        executor = backend.executor
        state = Mutex(
            State(
                ownership: backend.initialOwnership,
                ledger: LeaseLedger(bounds: layout.bounds)
            )
        )
        backend.report(to: self)
    }

    /// Ends what is pending: nobody is left to complete it. What the back end can still take back it takes back.
    deinit {
        for claim in state.withLock({ $0.claims }) {
            guard let handover = claim.handover else { continue }
            if case .awaiting(let reference) = claim.phase { _ = backend.withdraw(reference) }
            if var transaction = handover.takeTransaction() { try? transaction.undo() }
            handover.ticket.settle(.cancelled)
        }
    }

    // MARK: What there is to see

    /// The ownership of a page, or `nil` where there is no RAM.
    ///
    /// - Complexity: O(log *n*) in the number of runs.
    public func ownership(of page: PageNumber) -> Ownership? {
        guard layout.region(containing: page) != nil else { return nil }
        return state.withLock { $0.ownership[page] }
    }

    /// The maximal runs of equal ownership in the RAM of `range`.
    ///
    /// - Complexity: O(*k*) for *k* runs and regions.
    public func runs(in range: PageRange) -> [PageRun<Ownership>] {
        let ownership = state.withLock { $0.ownership }
        return layout.regions.compactMap { $0.intersection(range) }.flatMap { ownership.runs(in: $0) }
    }

    /// Who of the host holds pages of `range`.
    public func blockers(of range: PageRange) -> [Blocker] { state.withLock { $0.ledger.blockers(of: range) } }

    /// The hand-overs that are pending, the oldest first.
    public var pendingTickets: [Ticket] {
        state.withLock { $0.claims.compactMap { $0.handover?.ticket } }.sorted { $0.id < $1.id }
    }

    // MARK: Conversion

    /// Changes the ownership of pages, or begins to.
    ///
    /// - Throws: ``ConversionError``; no page has changed then, unless the cause is a back end that is lost.
    /// - Complexity: O(log *n* + *k*) for *k* runs that change, and one prepare, commit and finish for each.
    public func convert(_ request: ConversionRequest) throws(ConversionError) -> ConversionOutcome {
        emit(.requested(request))
        do {
            let outcome = try perform(request)
            emit(.answered(request, outcome))
            return outcome
        } catch {
            emit(.failed(request, error))
            throw error
        }
    }

    private func perform(_ request: ConversionRequest) throws(ConversionError) -> ConversionOutcome {
        try checkShape(of: request)
        let first = try state.withLock { state throws(ConversionError) -> PageNumber? in
            if let lost = state.lost { throw ConversionError(.backend, "the back end is lost", cause: lost) }
            let run = state.ownership.run(containing: request.range.start)
            guard let run, run.state == request.target else { return request.range.start }
            return run.range.contains(request.range) ? nil : PageNumber(run.range.end)
        }
        guard let first else { return outcome(.completed, request.range) }
        try checkAbility(for: request)
        let decision = policy.decide(request, in: OwnershipView(self))
        emit(.decided(request, decision))
        switch decision {
        case .allow: break
        case .deny(let reason): throw ConversionError(.denied, reason, range: request.range)
        case .later(let reason): return outcome(.deferred(reason: reason), request.range, stoppedAt: first)
        }
        switch request.extent {
        case .all: return try transact(request, request.range)
        case .prefix(let maximumRuns): return try transactPrefix(request, maximumRuns)
        }
    }

    private func checkShape(of request: ConversionRequest) throws(ConversionError) {
        let range = request.range
        guard range.isAligned(to: layout.granularity) else {
            throw ConversionError(
                .misaligned,
                "ownership changes in units of \(ByteCount(layout.granularity.bytes))",
                range: range
            )
        }
        if let hole = layout.firstHole(in: range) {
            throw ConversionError(.hole, "there is no memory at \(hole.address)", range: range)
        }
        guard request.target != .inTransit else {
            throw ConversionError(.illegal, "nobody can ask for pages to be in transit", range: range)
        }
    }

    /// Whether the back end can do what is asked for. Where nothing changes, nobody has to be able to.
    private func checkAbility(for request: ConversionRequest) throws(ConversionError) {
        let range = request.range
        let target = request.target
        if target == .host {
            let isPossible =
                switch capabilities.reclaim {
                case .unsupported: false
                case .offeredByGuest: request.requester.party == .guest
                case .askingGuest: true
                }
            guard isPossible else {
                throw ConversionError(.unsupported, "the back end cannot take memory back from the guest", range: range)
            }
        }
        let effect = capabilities.contentsEffect(of: target)
        guard request.contents == .any || request.contents.rawValue == effect.rawValue else {
            throw ConversionError(
                .unsupported,
                "the contents must be \(request.contents.rawValue), and the back end leaves them \(effect.rawValue)",
                range: range
            )
        }
    }

    /// Converts run by run, so that what is done stays done when a later run stops.
    private func transactPrefix(
        _ request: ConversionRequest,
        _ maximumRuns: Int
    ) throws(ConversionError) -> ConversionOutcome {
        var page = request.range.start
        var changed: UInt64 = 0
        var contents: ContentsEffect?
        var runs = 0
        while let rest = request.range.suffix(from: page) {
            guard runs < maximumRuns else {
                let reason = "one request may cover \(maximumRuns) runs of pages"
                return outcome(.deferred(reason: reason), request.range, stoppedAt: page, changed, contents)
            }
            runs += 1
            let run = state.withLock { $0.ownership.run(containing: page) }
            let part = run?.range.intersection(rest) ?? rest
            page = PageNumber(part.end)
            guard run?.state != request.target else { continue }
            let step: ConversionOutcome
            do {
                step = try transact(request, part)
            } catch {
                guard part.start != request.range.start else { throw error }
                return outcome(.stopped(by: error), request.range, stoppedAt: part.start, changed, contents)
            }
            changed += step.changedPages
            if step.changedPages > 0 {
                contents = contents == nil || contents == step.contents ? step.contents : .unspecified
            }
            if let stop = step.stoppedAt {
                return outcome(step.status, request.range, stoppedAt: stop, changed, contents)
            }
        }
        return outcome(.completed, request.range, changed, contents)
    }

    /// Converts all pages of `range` or none.
    private func transact(
        _ request: ConversionRequest,
        _ range: PageRange
    ) throws(ConversionError) -> ConversionOutcome {
        // What was withdrawn can be followed by something new: three rounds, then the range is called busy.
        for _ in 0..<3 {
            switch try claim(request, range) {
            case .unchanged:
                return outcome(.completed, range)
            case .running(let id, let changes):
                return try carryOut(id, request, changes, range)
            case .registered(let handover, let blockers):
                watch(handover)
                return pending(handover, blockers, range)
            case .joined(let handover):
                return pending(handover, holding(handover), range)
            case .blocked(let blockers, let first):
                return outcome(.blocked(by: blockers), range, stoppedAt: first)
            case .withdraw(let handovers):
                for handover in handovers { end(handover, .cancelled) }
            }
        }
        throw ConversionError(.busy, "another conversion of these pages is under way", range: range)
    }

    private enum ClaimResult {
        case unchanged
        case running(UInt64, Changes)
        case registered(Handover, [Blocker])
        case joined(Handover)
        /// The page is the first one that is not in the ownership asked for.
        case blocked([Blocker], PageNumber)
        case withdraw([Handover])
    }

    /// Finds out what has to change and keeps everybody else away from it, in one step.
    private func claim(_ request: ConversionRequest, _ range: PageRange) throws(ConversionError) -> ClaimResult {
        let now = executor.now
        return try state.withLock { state throws(ConversionError) -> ClaimResult in
            var changes = Changes()
            var blockers: [Blocker] = []
            for run in state.ownership.runs(in: range) {
                let change = OwnershipChange(
                    range: run.range,
                    from: run.state,
                    to: request.target,
                    initiator: request.requester.party
                )
                switch change.move {
                case .stay: continue
                case .illegal:
                    throw ConversionError(
                        .illegal,
                        "\(run.state) pages cannot become \(request.target)",
                        range: run.range
                    )
                case .askTicket: return try MemoryController.ask(state, request, range)
                case .give: break
                case .handOver(from: .host, _):
                    if state.ledger.isLeased(run.range) { blockers += state.ledger.blockers(of: run.range) }
                case .handOver(from: .guest, _): break
                }
                changes.append(change)
            }
            guard !changes.isEmpty else { return .unchanged }
            let id = state.nextClaim
            guard !blockers.isEmpty else {
                state.nextClaim += 1
                MemoryController.add(Claim(id: id, changes: changes, phase: .running), to: &state)
                return .running(id, changes)
            }
            guard case .handOver(let deadline) = request.whenHeld, !blockers.contains(where: { $0.kind == .mapping })
            else { return .blocked(blockers, changes[0].range.start) }
            guard state.claims.count(where: { $0.handover != nil }) < limits.pendingHandovers else {
                throw tooManyPending(range)
            }
            state.nextClaim += 1
            let ticket = makeTicket(range, request.target, now, deadline, &state)
            let handover = Handover(ticket, request, changes)
            MemoryController.add(Claim(id: id, changes: changes, phase: .draining, handover: handover), to: &state)
            return .registered(handover, blockers)
        }
    }

    /// What the changes under way mean for a request of some of their pages.
    private static func ask(
        _ state: State,
        _ request: ConversionRequest,
        _ range: PageRange
    ) throws(ConversionError) -> ClaimResult {
        let met = state.claims.filter { $0.changes.contains { $0.range.overlaps(range) } }
        let handovers = met.compactMap(\.handover)
        // Joined, where all that is missing is in one hand-over; withdrawn, where the request takes all of them back.
        let isRestDone = !state.ownership.runs(in: range).contains {
            $0.state != .inTransit && $0.state != request.target
        }
        if met.count == 1, let only = handovers.first, only.ticket.target == request.target, isRestDone {
            return .joined(only)
        }
        let takesBack = met.allSatisfy { claim in
            claim.handover != nil && claim.phase != .running
                && !claim.changes.contains { $0.from != request.target || !range.contains($0.range) }
        }
        if takesBack { return .withdraw(handovers) }
        throw ConversionError(
            .busy,
            handovers.first.map { "the pages are in hand-over \($0.ticket.id)" }
                ?? "another conversion of these pages is under way",
            range: range,
            ticket: handovers.first?.ticket.id
        )
    }

    private static func add(_ claim: Claim, to state: inout State) {
        claim.changes.forEach { state.ownership.set($0.range, to: .inTransit) }
        state.claims.append(claim)
    }

    private func makeTicket(
        _ range: PageRange,
        _ target: Ownership,
        _ now: Timestamp,
        _ deadline: Duration?,
        _ state: inout State
    ) -> Ticket {
        defer { state.nextTicket += 1 }
        return Ticket(
            id: TicketID(rawValue: state.nextTicket),
            range: range,
            target: target,
            since: now,
            deadline: deadline.map { now.advanced(by: $0) }
        ) { [weak self] id in self?.cancel(id) ?? false }
    }

    // MARK: Carrying out

    private enum Progress {
        case done(ContentsEffect)
        case blocked([Blocker])
        case pending(BackendHandover, [Blocker])
    }

    /// Carries a claim out that waits for nobody.
    private func carryOut(
        _ id: UInt64,
        _ request: ConversionRequest,
        _ changes: Changes,
        _ range: PageRange
    ) throws(ConversionError) -> ConversionOutcome {
        do {
            var transaction = try prepare(changes)
            switch try advance(&transaction) {
            case .done(let contents):
                conclude(id, changes, isChanged: true)
                return outcome(.completed, range, changes.pageCount, contents)
            case .blocked(let blockers):
                conclude(id, changes, isChanged: false)
                return outcome(.blocked(by: blockers), range, stoppedAt: changes[0].range.start)
            case .pending(let reference, let blockers):
                return try register(id, request, changes, range, consume transaction, reference, blockers)
            }
        } catch let error as BackendError {
            conclude(id, changes, isChanged: false)
            if error.code == .lost { backendLost(error) }
            throw ConversionError(.backend, "the back end could not do it", range: range, cause: error)
        } catch let error as ConversionError {
            throw error
        } catch {
            throw ConversionError(.backend, "\(error)", range: range)
        }
    }

    private func prepare(_ changes: Changes) throws(BackendError) -> Transaction {
        let transaction = try Transaction(changes, on: backend)
        changes.forEach { emit(.prepared($0)) }
        return transaction
    }

    private func advance(_ transaction: inout Transaction) throws(BackendError) -> Progress {
        while true {
            switch try transaction.advance() {
            case .committed(let change): emit(.committed(change))
            case .blocked(let blockers): return .blocked(blockers)
            case .pending(let handover, let blockers): return .pending(handover, blockers)
            case .done: return .done(transaction.finish { emit(.finished($0, $1)) } ?? .preserved)
            }
        }
    }

    /// Ends a claim: its pages are in the new ownership, or in the one before.
    private func conclude(_ id: UInt64, _ changes: Changes, isChanged: Bool) {
        state.withLock { state in
            changes.forEach { state.ownership.set($0.range, to: isChanged ? $0.to : $0.from) }
            state.claims.removeAll { $0.id == id }
        }
    }

    // MARK: Pending hand-overs

    /// Makes a claim a pending hand-over because the back end completes it by itself.
    private func register(
        _ id: UInt64,
        _ request: ConversionRequest,
        _ changes: Changes,
        _ range: PageRange,
        _ transaction: consuming Transaction,
        _ reference: BackendHandover,
        _ blockers: [Blocker]
    ) throws(ConversionError) -> ConversionOutcome {
        var transaction = consume transaction
        var deadline: Duration?
        var mayWait = false
        if case .handOver(let given) = request.whenHeld { (mayWait, deadline) = (true, given) }
        let pendingCount = state.withLock { $0.claims.count { $0.handover != nil } }
        if !mayWait || pendingCount >= limits.pendingHandovers, backend.withdraw(reference) {
            do {
                try transaction.undo()
            } catch {
                conclude(id, changes, isChanged: false)
                backendLost(error)
                throw ConversionError(.backend, "the back end could not take it back", range: range, cause: error)
            }
            conclude(id, changes, isChanged: false)
            guard mayWait else { return outcome(.blocked(by: blockers), range, stoppedAt: changes[0].range.start) }
            throw tooManyPending(range)
        }
        let now = executor.now
        let ticket = state.withLock { makeTicket(range, request.target, now, deadline, &$0) }
        let handover = Handover(ticket, request, changes)
        handover.keep(transaction)
        expect(reference, of: handover, id)
        watch(handover)
        return pending(handover, blockers, range)
    }

    /// Lets the back end complete a hand-over, which it may have done already.
    private func expect(_ reference: BackendHandover, of handover: Handover, _ id: UInt64) {
        let early: EarlyEnd? = state.withLock { state in
            guard let index = state.claims.firstIndex(where: { $0.id == id }) else { return nil }
            state.claims[index].handover = handover
            let early = state.early.removeValue(forKey: reference) ?? state.lost.map { EarlyEnd(failed: $0) }
            state.claims[index].phase = early == nil ? .awaiting(reference) : .running
            return early
        }
        guard let early else { return }
        if let error = early.error { return giveUp(handover, error) }
        if let change = early.take() { proceed(handover, with: change) }
    }

    /// Gives a hand-over up when its deadline comes.
    private func watch(_ handover: Handover) {
        guard let deadline = handover.ticket.deadline else { return }
        executor.submit(at: deadline) { [weak self, weak handover] in
            if let self, let handover { _ = self.end(handover, .expired) }
        }
    }

    /// Carries a hand-over out whose leases are gone. Its phase is `running`.
    private func run(_ handover: Handover) {
        do {
            let transaction = try prepare(handover.changes)
            drive(handover, consume transaction)
        } catch {
            fail(handover, error)
        }
    }

    /// Goes on with a hand-over after the back end has completed a change of it. Its phase is `running`.
    private func proceed(_ handover: Handover, with completed: consuming CommittedChange) {
        emit(.committed(completed.change))
        guard var transaction = handover.takeTransaction() else { return }
        transaction.accept(completed)
        drive(handover, consume transaction)
    }

    private func drive(_ handover: Handover, _ transaction: consuming Transaction) {
        var transaction = consume transaction
        let progress: Progress
        do {
            progress = try advance(&transaction)
        } catch {
            return fail(handover, error)
        }
        switch progress {
        case .done(let contents):
            settle(handover, .completed(contents), isChanged: true)
        case .pending(let reference, _):
            handover.keep(consume transaction)
            guard let id = claimID(of: handover) else { return }
            expect(reference, of: handover, id)
        case .blocked:
            // References that only the back end sees, and that it will not report the end of: ask again later.
            move(handover, to: .draining)
            let now = executor.now
            let wait = max(.milliseconds(1), min(now.since(handover.ticket.since), .milliseconds(100)))
            executor.submit(at: now.advanced(by: wait)) { [weak self] in self?.resume { $0.handover === handover } }
        }
    }

    private func fail(_ handover: Handover, _ error: BackendError) {
        settle(handover, .failed(error), isChanged: false)
        if error.code == .lost { backendLost(error) }
    }

    /// Takes back what has been done for a hand-over that the back end does not complete. Its phase is `running`.
    private func giveUp(_ handover: Handover, _ error: BackendError) {
        guard var transaction = handover.takeTransaction() else { return fail(handover, error) }
        do {
            try transaction.undo()
            fail(handover, error)
        } catch {
            fail(handover, error)
        }
    }

    private func settle(_ handover: Handover, _ result: TicketResult, isChanged: Bool) {
        guard let id = claimID(of: handover) else { return }
        conclude(id, handover.changes, isChanged: isChanged)
        emit(.settled(handover.ticket, result))
        handover.ticket.settle(result)
    }

    private func claimID(of handover: Handover) -> UInt64? {
        state.withLock { $0.claims.first { $0.handover === handover }?.id }
    }

    private func move(_ handover: Handover, to phase: Claim.Phase) {
        state.withLock { state in
            guard let index = state.claims.firstIndex(where: { $0.handover === handover }) else { return }
            state.claims[index].phase = phase
        }
    }

    /// Carries out the draining hand-overs among those asked for whose pages nobody holds any more.
    private func resume(_ isMeant: @Sendable (Claim) -> Bool) {
        let ready = state.withLock { state in MemoryController.takeReady(&state, isMeant) }
        for handover in ready { run(handover) }
    }

    private static func takeReady(_ state: inout State, _ isMeant: (Claim) -> Bool) -> [Handover] {
        var ready: [Handover] = []
        for index in state.claims.indices where state.claims[index].phase == .draining && isMeant(state.claims[index]) {
            let isHeld = state.claims[index].changes.contains { state.ledger.isLeased($0.range) }
            guard !isHeld, let handover = state.claims[index].handover else { continue }
            state.claims[index].phase = .running
            ready.append(handover)
        }
        return ready
    }

    private func cancel(_ id: TicketID) -> Bool {
        let handover = state.withLock { $0.claims.first { $0.handover?.ticket.id == id }?.handover }
        return handover.map { end($0, .cancelled) } ?? false
    }

    /// Takes a pending hand-over back. `false` where it is being carried out or has ended.
    @discardableResult
    private func end(_ handover: Handover, _ result: TicketResult) -> Bool {
        let phase: Claim.Phase? = state.withLock { state in
            guard let index = state.claims.firstIndex(where: { $0.handover === handover }) else { return nil }
            let phase = state.claims[index].phase
            guard phase != .running, phase != .ending else { return nil }
            state.claims[index].phase = .ending
            return phase
        }
        guard let phase else { return false }
        if case .awaiting(let reference) = phase, !backend.withdraw(reference) {
            if let id = claimID(of: handover) { expect(reference, of: handover, id) }
            return false
        }
        if var transaction = handover.takeTransaction() {
            do {
                try transaction.undo()
            } catch {
                fail(handover, error)
                return false
            }
        }
        settle(handover, result, isChanged: false)
        return true
    }

    private func tooManyPending(_ range: PageRange) -> ConversionError {
        ConversionError(.tooManyPending, "\(limits.pendingHandovers) hand-overs are pending already", range: range)
    }

    private func holding(_ handover: Handover) -> [Blocker] {
        state.withLock { state in
            var blockers: [Blocker] = []
            handover.changes.forEach { blockers += state.ledger.blockers(of: $0.range) }
            return blockers
        }
    }

    private func pending(_ handover: Handover, _ blockers: [Blocker], _ range: PageRange) -> ConversionOutcome {
        var first: PageNumber?
        handover.changes.forEach { first = first ?? $0.range.intersection(range)?.start }
        return outcome(.pending(handover.ticket, blockers: blockers), range, stoppedAt: first ?? range.start)
    }

    // MARK: The host's access

    /// Gives the host a right to touch pages until the lease is released.
    ///
    /// - Throws: ``AccessError`` for the first page that the host may not have.
    /// - Complexity: O(log *n* + *k*) for *k* runs in the range.
    public func lease(_ range: PageRange, _ kind: LeaseKind, for holder: Holder) throws(AccessError) -> HostLease {
        let id: LeaseID
        do {
            id = try enter(range, kind, holder)
        } catch {
            emit(.leaseRefused(kind, range, holder, error))
            throw error
        }
        emit(.leased(kind, range, holder))
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

    private func access(
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

    private func enter(_ range: PageRange, _ kind: LeaseKind, _ holder: Holder) throws(AccessError) -> LeaseID {
        if let hole = layout.firstHole(in: range) { throw .hole(hole) }
        let now = executor.now
        return try state.withLock { state throws(AccessError) -> LeaseID in
            if let lost = state.lost { throw .backend(lost) }
            for run in state.ownership.runs(in: range) where !run.state.allows(.host) {
                let page = run.range.start
                guard run.state == .inTransit else { throw .notOwned(page, run.state) }
                throw .inTransit(page, state.claims.first { $0.covers(page) }?.handover?.ticket.id)
            }
            return state.ledger.enter(LeaseLedger.Entry(range: range, kind: kind, holder: holder, since: now))
        }
    }

    // MARK: Answers and events

    private func outcome(
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

    private func emit(_ kind: @autoclosure () -> ControllerEvent.Kind) {
        guard let observer else { return }
        observer.observe(ControllerEvent(time: executor.now, kind: kind()))
    }
}

extension MemoryController: LeaseOwner {
    /// Takes a lease back. What waited for it goes on, on the executor.
    public func release(_ lease: LeaseID) {
        let (entry, ready) = state.withLock { state in
            let entry = state.ledger.remove(lease)
            guard let entry, !state.claims.isEmpty else { return (entry, [Handover]()) }
            let ready = MemoryController.takeReady(&state) { $0.changes.contains { $0.range.overlaps(entry.range) } }
            return (entry, ready)
        }
        if let entry { emit(.released(entry.kind, entry.range, entry.holder)) }
        for handover in ready { executor.submit { [weak self] in self?.run(handover) } }
    }
}

extension MemoryController: BackendObserver {
    /// Goes on with the hand-over that a change belongs to.
    public func handoverCompleted(_ reference: BackendHandover, _ committed: consuming CommittedChange) {
        let end = EarlyEnd(completed: committed)
        if let handover = take(reference, orKeep: end), let change = end.take() { proceed(handover, with: change) }
    }

    /// Ends the hand-over that a change belongs to.
    public func handoverFailed(_ reference: BackendHandover, _ error: BackendError) {
        if let handover = take(reference, orKeep: EarlyEnd(failed: error)) { giveUp(handover, error) }
    }

    /// The hand-over that waits for `reference`, from now on `running`; where none does yet, `end` is kept for it.
    private func take(_ reference: BackendHandover, orKeep end: EarlyEnd) -> Handover? {
        state.withLock { state in
            guard let index = state.claims.firstIndex(where: { $0.phase == .awaiting(reference) }) else {
                state.early[reference] = end
                return nil
            }
            state.claims[index].phase = .running
            return state.claims[index].handover
        }
    }

    /// Ends every hand-over; no request succeeds any more.
    public func backendLost(_ error: BackendError) {
        let waiting: [Handover]? = state.withLock { state in
            guard state.lost == nil else { return nil }
            state.lost = error
            return state.claims.indices.compactMap { index in
                guard state.claims[index].phase != .running, state.claims[index].phase != .ending else { return nil }
                state.claims[index].phase = .ending
                return state.claims[index].handover
            }
        }
        guard let waiting else { return }
        emit(.lost(error))
        for handover in waiting { settle(handover, .failed(error), isChanged: false) }
    }
}

extension MemoryController: GuestRequestHandler {
    /// Answers a guest. It gets as far as its request can go at once, and is told where to go on.
    public func handle(_ request: GuestRequest) -> GuestReply {
        let range: PageRange
        do {
            range = try PageRange(address: GuestPhysicalAddress(request.address), byteCount: request.byteCount)
        } catch {
            return .refused
        }
        let conversion = ConversionRequest(
            range,
            to: request.target,
            by: .guest(processor: request.processor),
            whenHeld: .handOver(deadline: limits.guestDeadline),
            extent: .prefix(maximumRuns: limits.runsPerGuestRequest)
        )
        do {
            let outcome = try convert(conversion)
            guard let stop = outcome.stoppedAt else { return .done }
            if case .stopped(let error) = outcome.status { return reply(to: error, from: stop) }
            return .retry(from: stop.address)
        } catch {
            return reply(to: error, from: range.start)
        }
    }

    private func reply(to error: ConversionError, from page: PageNumber) -> GuestReply {
        switch error.code {
        case .busy, .tooManyPending: .retry(from: page.address)
        default: .refused
        }
    }
}

import Custody

// Claims: what a request is decided upon and what it gets are one step, under the lock.
extension MemoryController {
    enum Admission {
        case unchanged
        /// The pages that may be converted now, and why the others may not.
        case admitted(PageRange, Bound)
        case stopped(ConversionOutcome)
    }

    /// What ends the part of a request that may go on.
    enum Bound {
        case nothing
        /// The limits that the request itself has.
        case limits
        /// A rule.
        case rule(PolicyReason?)
    }

    enum ClaimResult {
        case unchanged
        /// The claim's pages are this thread's, and these are to be told of the change.
        case running(Work, [ListenerPort])
        case registered(Handover, [Blocker], Drains)
        case joined(Handover, [Blocker])
        /// The page is the first one that is not in the ownership asked for.
        case blocked([Blocker], PageNumber, Drains)
        case withdraw([Handover])
        case later(until: Timestamp?, reason: String, PageNumber)
        case refused(ConversionError)
    }

    /// The leases whose holders are to be called.
    typealias Drains = [LeaseID]

    enum Ruling {
        /// These pages may be converted, on the decision's terms.
        case allowed(PageRange, PolicyDecision)
        case stopped(ClaimResult, PolicyDecision?)
    }

    /// Decides about a request that is going to be carried out part by part: about what its limits let through.
    ///
    /// - Complexity: O(*k* log *n*) for a limit of *k* runs, and what the policy does for these.
    func admit(_ request: ConversionRequest, _ step: inout UInt64?) throws(ConversionError) -> Admission {
        let now = executor.now
        let (reach, ruling) = state.withLock { state -> (PageRange, Ruling?) in
            step = self.step()
            let reach = self.reach(of: request, state)
            let ruling = rule(&state, request, reach, now, isContinuation: false)
            guard case .stopped(.unchanged, nil) = ruling, reach != request.range,
                firstOff(request, reach.end, state) != nil
            else { return (reach, ruling) }
            // There is something to do, and not within the limits.
            return (reach, nil)
        }
        switch ruling {
        case nil: return .admitted(reach, .limits)
        case .allowed(let range, let decision):
            emit(.decided(request, decision), of: step, at: now)
            if range != reach { return .admitted(range, .rule(decision.reason)) }
            return .admitted(range, reach == request.range ? .nothing : .limits)
        case .stopped(let result, let decision):
            if let decision { emit(.decided(request, decision), of: step, at: now) }
            switch result {
            case .refused(let error): throw error
            case .later(let time, let reason, let first):
                return .stopped(outcome(.deferred(until: time, reason: reason), request.range, stoppedAt: first))
            default: return .unchanged
            }
        }
    }

    /// The part of a request that its limits let through as the pages are now; all of it, where it has none.
    private func reach(of request: ConversionRequest, _ state: ControllerState) -> PageRange {
        guard var allowance = Allowance(request.extent, in: layout.granularity) else { return request.range }
        for piece in layout.memory(in: request.range) {
            for run in state.ownership.runs(in: piece) {
                var rest: PageRange? = run.range
                while let left = rest {
                    guard let part = nextPart(of: left, in: run.state, for: request, &allowance) else {
                        return request.range.prefix(before: left.start) ?? request.range
                    }
                    rest = left.suffix(from: PageNumber(part.end))
                }
            }
        }
        return request.range
    }

    /// The first part of a run that one step converts or passes over; `nil` where the allowance is used up.
    func nextPart(
        of run: PageRange,
        in ownership: Ownership?,
        for request: ConversionRequest,
        _ allowance: inout Allowance
    ) -> PageRange? {
        guard ownership != request.target else { return allowance.pass(run) }
        // A region that comes or goes as one is not cut: the request ends with it.
        let isMove = request.target == .host || ownership == .host
        let isWhole = isMove && capabilities.hostUnit == .region && layout.region(containing: run.start) == run
        return allowance.take(run, isWhole: isWhole)
    }

    /// Whether there is anything to do, the back end can do it, and the policy lets it.
    func rule(
        _ state: inout ControllerState,
        _ request: ConversionRequest,
        _ range: PageRange,
        _ now: Timestamp,
        isContinuation: Bool
    ) -> Ruling {
        if let lost = state.lost {
            return .stopped(.refused(ConversionError(.backend, "the back end is lost", cause: lost)), nil)
        }
        guard let first = firstOff(request, range.start.rawValue, state, until: range.end) else {
            return .stopped(.unchanged, nil)
        }
        if let error = checkAbility(for: request) { return .stopped(.refused(error), nil) }
        var part = request
        part.range = range
        let view = view(of: state, now, isContinuation: isContinuation, asked: request.range)
        let decision = callPolicy(&state) { memory in policy.decide(part, in: view, remembering: &memory) }
        switch decision.verdict {
        case .allow:
            return .allowed(range, decision)
        case .deny:
            let text = decision.reason?.text ?? "the policy denies it"
            return .stopped(.refused(ConversionError(.denied, text, range: range)), decision)
        case .deferUntil(let time):
            return .stopped(.later(until: time, reason: decision.reason?.text ?? "later", first), decision)
        case .clampTo(let clamp):
            let isPartEnough = if case .prefix = request.extent { true } else { false }
            let isAll = firstOff(request, clamp.end, state, until: range.end) == nil
            guard clamp.contains(first), isAll || isPartEnough, let prefix = range.prefix(before: PageNumber(clamp.end))
            else {
                return .stopped(.later(until: nil, reason: decision.reason?.text ?? "not all", first), decision)
            }
            return .allowed(isAll ? range : prefix, decision)
        }
    }

    /// What a policy sees. It must be gone before the map is changed, so that it is changed in place.
    private func view(
        of state: ControllerState,
        _ now: Timestamp,
        isContinuation: Bool,
        asked: PageRange
    ) -> PolicyView {
        PolicyView(
            ownership: state.ownership,
            layout: layout,
            capabilities: capabilities,
            tally: state.tally,
            ledger: state.ledger,
            now: now,
            pendingHandovers: state.pending.total,
            isContinuation: isContinuation,
            asked: asked
        )
    }

    /// Has the policy charge what is about to be claimed.
    private func charge(_ work: Work, _ state: inout ControllerState, _ now: Timestamp) {
        var claimed = work.request
        claimed.range = work.range
        let view = view(of: state, now, isContinuation: false, asked: work.request.range)
        callPolicy(&state) { memory in policy.charge(claimed, in: view, remembering: &memory) }
    }

    /// Runs `body`, which calls the policy: its memory is in its hands meanwhile, and what it asks the controller is answered
    /// from `state`.
    private func callPolicy<Result>(_ state: inout ControllerState, _ body: (inout PolicyMemory) -> Result) -> Result {
        var memory = PolicyMemory()
        swap(&memory, &state.memory)
        defer { swap(&memory, &state.memory) }
        return ForeignCall.run(of: ObjectIdentifier(self), decidingOn: &state) { body(&memory) }
    }

    /// The first page of RAM from `page` on, within the request, that is not in the ownership asked for.
    func firstOff(
        _ request: ConversionRequest,
        _ page: UInt64,
        _ state: ControllerState,
        until end: UInt64 = .max
    ) -> PageNumber? {
        guard let range = request.range.suffix(from: PageNumber(page))?.prefix(before: PageNumber(end)) else {
            return nil
        }
        for piece in layout.memory(in: range) {
            for run in state.ownership.runs(in: piece) where run.state != request.target { return run.range.start }
        }
        return nil
    }

    /// Finds out what has to change, whether it may, and keeps everybody else away from it, in one step.
    ///
    /// - Returns: what came of it, and the policy's decision where it is worth telling.
    func claim(
        _ request: ConversionRequest,
        _ range: PageRange,
        isContinuation: Bool,
        _ now: Timestamp,
        _ step: inout UInt64?
    ) -> (ClaimResult, PolicyDecision?) {
        return state.withLock { state in
            step = self.step()
            switch rule(&state, request, range, now, isContinuation: isContinuation) {
            case .stopped(let result, let decision): return (result, decision)
            case .allowed(let allowed, var decision):
                let result = claim(&state, request, allowed, &decision, now)
                return (result, isContinuation && decision.verdict == .allow ? nil : decision)
            }
        }
    }

    private func claim(
        _ state: inout ControllerState,
        _ request: ConversionRequest,
        _ range: PageRange,
        _ decision: inout PolicyDecision,
        _ now: Timestamp
    ) -> ClaimResult {
        if state.isBeingDiscarded(range) {
            return .refused(ConversionError(.busy, "contents of these pages are being discarded", range: range))
        }
        var changes = Changes()
        var exposed: UInt64 = 0
        for piece in layout.memory(in: range) {
            for run in state.ownership.runs(in: piece) {
                let change = OwnershipChange(
                    range: run.range,
                    from: run.state,
                    to: request.target,
                    initiator: request.requester.party
                )
                switch change.move {
                case .stay: continue
                case .illegal:
                    let text = "\(run.state) pages cannot become \(request.target)"
                    return .refused(ConversionError(.illegal, text, range: run.range))
                case .askTicket: return ask(state, request, range, now)
                case .give, .handOver: break
                }
                if capabilities.hostUnit == .region, !isWholeRegion(change) {
                    let text = "memory comes from the host and goes to it a region at a time, and in one ownership"
                    return .refused(ConversionError(.misaligned, text, range: run.range))
                }
                if request.target == .shared { exposed += run.range.count }
                changes.append(change)
            }
        }
        guard !changes.isEmpty else { return .unchanged }
        guard pool?.take(exposed) ?? true else {
            let text = "the guests together may not share \(exposed) more pages"
            decision = .defer(PolicyReason(rule: "shared-pool", text))
            return .later(until: nil, reason: text, changes[0].range.start)
        }
        let terms = decision.terms
        func work() -> Work {
            Work(id: state.claims.reserve(), request: request, range: range, changes: changes, terms: terms)
        }
        let blockers = state.close(changes, at: now)
        guard !blockers.isEmpty else {
            let work = work()
            charge(work, &state, now)
            state.add(Claim(work: work, phase: .running, lastListener: state.lastListener))
            return .running(work, state.listeners)
        }
        guard let deadline = Work.patience(request, terms), !blockers.contains(where: { $0.kind == .mapping }) else {
            state.open(changes)
            return .blocked(blockers, changes[0].range.start, drains(of: changes, in: &state, for: nil))
        }
        guard mayPend(request, state) else {
            state.open(changes)
            return .refused(tooManyPending(range))
        }
        let work = work()
        charge(work, &state, now)
        let ticket = makeTicket(work, deadline, now, state.nextTicket)
        state.nextTicket += 1
        let handover = Handover(ticket, work)
        state.add(Claim(work: work, phase: .draining, handover: handover))
        return .registered(handover, blockers, drains(of: changes, in: &state, for: ticket.id))
    }

    /// Whether a change leaves the host's own memory as it is, or is about all of a region.
    private func isWholeRegion(_ change: OwnershipChange) -> Bool {
        guard change.from == .host || change.to == .host else { return true }
        return layout.region(containing: change.range.start) == change.range
    }

    /// What the changes under way mean for a request of some of their pages.
    private func ask(
        _ state: ControllerState,
        _ request: ConversionRequest,
        _ range: PageRange,
        _ now: Timestamp
    ) -> ClaimResult {
        let met = state.claims.meeting(range)
        let handovers = met.compactMap(\.handover)
        // Joined, where all that is missing is in one hand-over; withdrawn, where the request takes all of them back.
        let isRestDone = !layout.memory(in: range).contains { piece in
            state.ownership.runs(in: piece).contains { $0.state != .inTransit && $0.state != request.target }
        }
        if met.count == 1, let only = handovers.first, only.ticket.target == request.target, isRestDone {
            return .joined(only, state.blockers(of: only.ticket.range, at: now))
        }
        let takesBack = met.allSatisfy { claim in
            claim.handover != nil && claim.phase != .running
                && !claim.changes.contains { $0.from != request.target || !range.contains($0.range) }
        }
        if takesBack { return .withdraw(handovers) }
        return .refused(
            ConversionError(
                .busy,
                handovers.first.map { "the pages are in hand-over \($0.ticket.id)" }
                    ?? "another conversion of these pages is under way",
                range: range,
                ticket: handovers.first?.ticket.id
            )
        )
    }

    /// Notes what holders of leases are to be asked for.
    func drains(of changes: Changes, in state: inout ControllerState, for ticket: TicketID?) -> Drains {
        guard !state.drains.isEmpty else { return [] }
        var drains: Drains = []
        changes.forEach { change in
            for (lease, range) in state.ledger.leases(meeting: change.range) {
                let request = DrainRequest(lease: lease, range: range, target: change.to, ticket: ticket)
                if state.drains.ask(request) { drains.append(lease) }
            }
        }
        return drains
    }

    /// Asks holders to let go, on the executor: they may well do so at once, or take their time.
    func drain(_ drains: Drains) {
        for lease in drains { executor.submitConcurrently { [weak self] in self?.callHolder(of: lease) } }
    }

    private func callHolder(of lease: LeaseID) {
        guard let (request, callback) = state.withLock({ $0.drains.begin(lease) }) else { return }
        callback(request)
        if state.withLock({ $0.drains.end(lease) }) { drain([lease]) }
    }
}

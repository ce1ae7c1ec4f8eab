import Custody
import Synchronization

// Requests: what has to change, and may it?
extension MemoryController {
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

    func perform(_ request: ConversionRequest) throws(ConversionError) -> ConversionOutcome {
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
        case .prefix(let runs, let pages): return try transactPrefix(request, runs, pages)
        }
    }

    func checkShape(of request: ConversionRequest) throws(ConversionError) {
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
    func checkAbility(for request: ConversionRequest) throws(ConversionError) {
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
    func transactPrefix(
        _ request: ConversionRequest,
        _ maximumRuns: Int,
        _ maximumPages: UInt64
    ) throws(ConversionError) -> ConversionOutcome {
        let unit = layout.granularity.pages
        var pagesLeft = max(unit, maximumPages / unit * unit)
        var page = request.range.start
        var changed: UInt64 = 0
        var contents: ContentsEffect?
        var runs = 0
        while let rest = request.range.suffix(from: page) {
            guard runs < maximumRuns, pagesLeft > 0 else {
                let reason = "one request may cover \(maximumRuns) runs and \(maximumPages) pages"
                return outcome(.deferred(reason: reason), request.range, stoppedAt: page, changed, contents)
            }
            runs += 1
            let run = state.withLock { $0.ownership.run(containing: page) }
            var part = run?.range.intersection(rest) ?? rest
            if run?.state != request.target {
                part = part.prefix(before: PageNumber(part.start.rawValue &+ pagesLeft)) ?? part
                pagesLeft -= part.count
            }
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
    func transact(
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

    enum ClaimResult {
        case unchanged
        case running(UInt64, Changes)
        case registered(Handover, [Blocker])
        case joined(Handover)
        /// The page is the first one that is not in the ownership asked for.
        case blocked([Blocker], PageNumber)
        case withdraw([Handover])
    }

    /// Finds out what has to change and keeps everybody else away from it, in one step.
    func claim(_ request: ConversionRequest, _ range: PageRange) throws(ConversionError) -> ClaimResult {
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
                state.add(Claim(id: id, changes: changes, phase: .running))
                return .running(id, changes)
            }
            guard case .handOver(let deadline) = request.whenHeld, !blockers.contains(where: { $0.kind == .mapping })
            else { return .blocked(blockers, changes[0].range.start) }
            guard mayPend(request, state) else { throw tooManyPending(range) }
            state.nextClaim += 1
            let ticket = makeTicket(range, request.target, now, deadline, &state)
            let handover = Handover(ticket, request, changes)
            state.add(Claim(id: id, changes: changes, phase: .draining, handover: handover))
            return .registered(handover, blockers)
        }
    }

    /// What the changes under way mean for a request of some of their pages.
    static func ask(
        _ state: ControllerState,
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

    func makeTicket(
        _ range: PageRange,
        _ target: Ownership,
        _ now: Timestamp,
        _ deadline: Duration?,
        _ state: inout ControllerState
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
}

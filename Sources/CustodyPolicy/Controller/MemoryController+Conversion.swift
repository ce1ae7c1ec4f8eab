import Custody

// Requests: what has to change, and may it?
extension MemoryController {
    /// Changes the ownership of pages, or begins to.
    ///
    /// - Throws: ``ConversionError``; no page has changed then, unless the cause is a back end that is lost.
    /// - Complexity: O(log *n* + *k*) for *k* runs that change, and one prepare, commit and finish for each.
    public func convert(_ request: ConversionRequest) throws(ConversionError) -> ConversionOutcome {
        try checkReentrancy(request.range)
        emit(.requested(request))
        // The last step of the request that took effect: what it comes to was so then.
        var step: UInt64?
        do {
            let outcome = try perform(request, &step)
            emit(.answered(request, outcome), of: step)
            return outcome
        } catch {
            emit(.failed(request, error), of: step)
            throw error
        }
    }

    private func perform(
        _ request: ConversionRequest,
        _ step: inout UInt64?
    ) throws(ConversionError) -> ConversionOutcome {
        try checkShape(of: request)
        switch request.extent {
        case .all: return try transact(request, request.range, isContinuation: false, &step)
        case .prefix(let runs, let pages):
            return try transactPrefix(request, &step) { "one request may cover \(runs) runs and \(pages) pages" }
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
        try checkHoles(in: range)
        guard request.target != .inTransit else {
            throw ConversionError(.illegal, "nobody can ask for pages to be in transit", range: range)
        }
    }

    func checkHoles(in range: PageRange) throws(ConversionError) {
        guard limits.holes != .ignore, let hole = layout.firstHole(in: range) else { return }
        if case .limit(let pages) = limits.holes {
            let missing = layout.memory(in: range).reduce(range.count) { $0 - $1.count }
            guard missing > pages else { return }
            throw ConversionError(
                .hole,
                "\(missing) pages are no memory, and at most \(pages) are passed over",
                range: range
            )
        }
        throw ConversionError(.hole, "there is no memory at \(hole.address)", range: range)
    }

    /// Whether the back end can do what is asked for. Where nothing changes, nobody has to be able to.
    func checkAbility(for request: ConversionRequest) -> ConversionError? {
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
                return ConversionError(
                    .unsupported,
                    "the back end cannot take memory back from the guest",
                    range: range
                )
            }
        }
        let effect = capabilities.contentsEffect(of: target)
        guard request.contents == .any || request.contents.rawValue == effect.rawValue else {
            return ConversionError(
                .unsupported,
                "the contents must be \(request.contents.rawValue), and the back end leaves them \(effect.rawValue)",
                range: range
            )
        }
        return nil
    }

    /// Converts run by run, so that what is done stays done when a later run stops.
    func transactPrefix(
        _ request: ConversionRequest,
        _ last: inout UInt64?,
        _ limits: () -> String
    ) throws(ConversionError) -> ConversionOutcome {
        let admitted: PageRange
        let bound: Bound
        switch try admit(request, &last) {
        case .unchanged: return outcome(.completed, request.range)
        case .stopped(let answer): return answer
        case .admitted(let range, let why): (admitted, bound) = (range, why)
        }
        var allowance = Allowance(request.extent, in: layout.granularity) ?? .unlimited
        var changed: UInt64 = 0
        var contents: ContentsEffect?
        func deferred(at page: PageNumber, _ reason: String) -> ConversionOutcome {
            outcome(.deferred(until: nil, reason: reason), request.range, stoppedAt: page, changed, contents)
        }
        for piece in layout.memory(in: admitted) {
            var page = piece.start
            while let rest = piece.suffix(from: page) {
                let run = state.withLock { state in
                    last = step()
                    return state.ownership.run(containing: page)
                }
                let whole = run?.range.intersection(rest) ?? rest
                guard let part = nextPart(of: whole, in: run?.state, for: request, &allowance) else {
                    return deferred(at: page, limits())
                }
                page = PageNumber(part.end)
                guard run?.state != request.target else { continue }
                let done: ConversionOutcome
                do {
                    done = try transact(request, part, isContinuation: true, &last)
                } catch {
                    guard part.start != request.range.start else { throw error }
                    return outcome(.stopped(by: error), request.range, stoppedAt: part.start, changed, contents)
                }
                changed += done.changedPages
                if done.changedPages > 0 {
                    contents = contents == nil || contents == done.contents ? done.contents : .unspecified
                }
                if let stop = done.stoppedAt {
                    return outcome(done.status, request.range, stoppedAt: stop, changed, contents)
                }
                if done.range.end < part.end {
                    return deferred(at: PageNumber(done.range.end), "the policy lets fewer pages through for now")
                }
            }
        }
        let clamp: PolicyReason?
        switch bound {
        case .nothing: return outcome(.completed, request.range, changed, contents)
        case .limits: return deferred(at: PageNumber(admitted.end), limits())
        case .rule(let reason): clamp = reason
        }
        let rest = state.withLock { state in
            last = step()
            return firstOff(request, admitted.end, state)
        }
        guard let stop = rest else { return outcome(.completed, request.range, changed, contents) }
        return deferred(at: stop, clamp.map { "\($0)" } ?? "later")
    }

    /// Converts all pages of `range` or none.
    func transact(
        _ request: ConversionRequest,
        _ range: PageRange,
        isContinuation: Bool,
        _ step: inout UInt64?
    ) throws(ConversionError) -> ConversionOutcome {
        // What was withdrawn can be followed by something new: three rounds, then the range is called busy.
        for round in 0..<3 {
            let now = executor.now
            let (result, decision) = claim(request, range, isContinuation: isContinuation || round > 0, now, &step)
            if let decision { emit(.decided(request, decision), of: step, at: now) }
            switch result {
            case .unchanged:
                return outcome(.completed, range)
            case .running(let work, let listeners):
                return try carryOut(work, listeners, &step)
            case .registered(let handover, let blockers, let drains):
                drain(drains)
                watch(handover)
                return pending(handover, blockers, range)
            case .joined(let handover, let blockers):
                return pending(handover, blockers, range)
            case .blocked(let blockers, let first, let drains):
                drain(drains)
                return outcome(.blocked(by: blockers), range, stoppedAt: first)
            case .withdraw(let handovers):
                for handover in handovers { end(handover, .cancelled) }
            case .later(let time, let reason, let first):
                return outcome(.deferred(until: time, reason: reason), range, stoppedAt: first)
            case .refused(let error):
                throw error
            }
        }
        throw ConversionError(.busy, "another conversion of these pages is under way", range: range)
    }

    func makeTicket(_ work: Work, _ deadline: Duration?, _ now: Timestamp, _ number: UInt64) -> Ticket {
        Ticket(
            id: TicketID(rawValue: number),
            range: work.range,
            target: work.request.target,
            since: now,
            deadline: deadline.map { now.advanced(by: $0) }.flatMap { $0 == .never ? nil : $0 },
            withdraw: { [weak self, claim = work.id] _ in self?.cancel(claim) ?? false },
            blockers: { [weak self] range in self?.blockers(of: range) ?? [] }
        )
    }
}

public import Custody
public import CustodyPolicy

/// What the events of a controller say of a guest's memory up to one of them, and whether it can follow: the one judge of
/// traces and plays.
///
/// It is a naive account of ownership, leases and hand-overs, which shares nothing with the controller but the table of
/// moves. It takes events in the order in which what they tell of took effect. Each thing that it looks at is an
/// ``OracleRule``, a part of one of the numbered ``Promise``s. An event that cannot follow changes nothing.
///
/// - Complexity: O(log *n* + *k*) an event, in the number *n* of runs, leases, requests and hand-overs there are, and *k* of
///   those that the event is about.
public struct Oracle: Sendable {
    /// Where the guest has RAM.
    public let layout: GuestMemoryLayout
    /// The ownership of every page; holes are shared in it.
    public private(set) var ownership: PageRunMap<Ownership>
    /// What the host holds.
    public private(set) var leases: [LeaseID: TraceLease] = [:]
    /// When each of them was told of: it was held by then.
    private var leaseTimes: [LeaseID: Timestamp] = [:]
    private(set) var pending: [TicketID: PendingHandover] = [:]

    private let capabilities: Capabilities
    private let limits: ControllerLimits?
    /// The leases by their pages, and the allowed requests without an answer, by their numbers.
    private var leased = PageRangeTree()
    private var allowed = PageRangeTree()
    /// The number of the hand-over that each page is in; 0 for none.
    private var ticketOfPage: PageRunMap<UInt64>
    /// The number of the last hand-over that was begun, and how many of the guest's are pending.
    private var lastTicket = TicketID(rawValue: 0)
    private var pendingOfGuest = 0
    /// Hand-overs that were complete without steps: the back end is about to say that it found them so.
    private var foundComplete: Set<TicketID> = []
    /// The number of the event by which a page was refused as in transit, without anybody at it: the back end is about to
    /// say that it found the page in another ownership. 0 for none.
    private var foundInTransit: PageRunMap<UInt64>
    /// Pages whose contents were discarded since they last changed hands.
    private var discarded: PageRunMap<Bool>
    /// The requests without an answer of each thread, the innermost last.
    private var open: [Int: [OpenRequest]] = [:]
    /// The threads that are at changes.
    private var atWork: Set<Int> = []
    private var lastRequest: UInt64 = 0
    /// The number of events so far: of all threads, and of each.
    private var count: UInt64 = 0
    private var counts: [Int: UInt64] = [:]

    /// The account at the beginning of a trace.
    public init(_ header: TraceHeader) {
        self.init(header.layout, header.capabilities, ownership: header.ownershipMap, limits: nil)
    }

    /// The account of a guest whose pages are in the given ownership, held and waited for by nobody. Hand-overs are held
    /// against `limits` where there are some.
    public init(
        _ layout: GuestMemoryLayout,
        _ capabilities: Capabilities,
        ownership: PageRunMap<Ownership>,
        limits: ControllerLimits? = nil
    ) {
        self.layout = layout
        self.ownership = ownership
        self.capabilities = capabilities
        self.limits = limits
        ticketOfPage = PageRunMap(bounds: layout.bounds, state: 0)
        foundInTransit = PageRunMap(bounds: layout.bounds, state: 0)
        discarded = PageRunMap(bounds: layout.bounds, state: false)
    }

    /// The ownership of all RAM, from low to high.
    public var runs: [PageRun<Ownership>] { layout.regions.flatMap { ownership.runs(in: $0) } }

    /// The hand-overs that are pending and who asked for them, the oldest first.
    public var handovers: [(ticket: TraceTicket, requester: Requester)] {
        pending.values.map { ($0.ticket, $0.request.requester) }.sorted { $0.ticket.id < $1.ticket.id }
    }

    /// Takes an event into the account.
    ///
    /// - Throws: ``OracleViolation`` where it cannot follow; nothing has changed then.
    public mutating func apply(_ record: TraceRecord) throws(OracleViolation) {
        let thread = record.thread
        switch record.event {
        case .malformed(let request, _):
            let range = try? PageRange(address: GuestPhysicalAddress(request.address), byteCount: request.byteCount)
            try require(.malformedIsRefused, range == nil, "the numbers are a range of pages")
        case .requested(let request): begin(request, thread)
        case .decided(let request, let decision): try decide(request, decision, thread)
        case .prepared(let change): try prepare(change, thread)
        case .committed(let change): try advance(change, thread, "prepared for") { $0.commit(change) }
        case .finished(let change, let contents): try finish(change, contents, thread)
        case .answered(let request, let outcome): try answer(request, outcome, thread, record.time)
        case .failed(let request, let error): try fail(request, error, thread)
        case .postponed(let ticket, let blockers, let until):
            guard let waiting = pending[ticket.id], waiting.ticket == ticket else { throw unknown(ticket) }
            try checkTimes(of: blockers, record.time)
            pending[ticket.id]?.progress = ChangeProgress()
            pending[ticket.id]?.blockers = blockers
            pending[ticket.id]?.retry = until
        case .advanced(let ticket, let blockers):
            guard let waiting = pending[ticket.id], waiting.ticket == ticket else { throw unknown(ticket) }
            try checkTimes(of: blockers, record.time)
            pending[ticket.id]?.blockers = blockers
        case .settled(let ticket, let result): try settle(ticket, result, record.time)
        case .leased(let lease): try enter(lease, record.time)
        case .leaseRefused(_, let range, _, let error): try refuse(range, error, record.number)
        case .released(let lease):
            try requireState(.endsOnce, leases[lease.id] == lease, "nobody holds this lease")
            leases[lease.id] = nil
            leaseTimes[lease.id] = nil
            leased.remove(lease.range, lease.id.rawValue)
        case .discarded(let range, let error):
            try require(.isRecorded, layout.firstHole(in: range) == nil, "\(range) is not all RAM")
            if error == nil { discarded.set(range, to: true) }
        case .vetoed, .dismissed, .marked, .lost: break
        case .reconnected(let found): try reconnect(found)
        case .dropped(let count):
            let text = "\(count) events are missing here: what follows cannot be held against them"
            throw OracleViolation(.isRecorded, text)
        case .closed(let runs): try close(runs)
        }
        count += 1
        counts[thread, default: 0] += 1
    }

    private func require(
        _ rule: OracleRule,
        _ isSo: Bool,
        _ why: @autoclosure () -> String
    ) throws(OracleViolation) {
        if !isSo { throw OracleViolation(rule, why()) }
    }

    /// Requires what follows from the events before.
    private func requireState(
        _ rule: OracleRule,
        _ isSo: Bool,
        _ why: @autoclosure () -> String
    ) throws(OracleViolation) {
        if !isSo { throw OracleViolation(rule, why(), isOfState: true) }
    }

    private func unknown(_ ticket: TraceTicket) -> OracleViolation {
        if let known = pending[ticket.id] {
            return OracleViolation(.isRecorded, "hand-over \(ticket.id) is \(known.ticket), not \(ticket)")
        }
        let isOver = ticket.id <= lastTicket
        let text = "hand-over \(ticket.id) \(isOver ? "has ended" : "was never begun")"
        return OracleViolation(.endsOnce, text, isOfState: true)
    }

    // MARK: Requests

    private mutating func begin(_ request: TraceRequest, _ thread: Int) {
        lastRequest += 1
        let before = (all: count, own: counts[thread] ?? 0)
        open[thread, default: []].append(OpenRequest(number: lastRequest, request: request, before: before))
    }

    private func top(_ request: TraceRequest, _ thread: Int) throws(OracleViolation) -> OpenRequest {
        guard let top = open[thread]?.last else {
            throw OracleViolation(.isRecorded, "nobody asked for this on its thread")
        }
        try require(.isRecorded, top.request == request, "the request on its thread is another one: \(top.request)")
        return top
    }

    /// Whether other threads have done something since the request: what it found may be otherwise by now.
    private func isDisturbed(_ request: OpenRequest, _ thread: Int) -> Bool {
        count - request.before.all != (counts[thread] ?? 0) - request.before.own
    }

    private mutating func updateTop<Value>(_ thread: Int, _ body: (inout OpenRequest) -> Value) -> Value? {
        guard let last = open[thread]?.indices.last else { return nil }
        return body(&open[thread, default: []][last])
    }

    private mutating func pop(_ thread: Int) {
        guard let last = open[thread]?.popLast() else { return }
        allowed.remove(last.request.range, last.number)
        if open[thread]?.isEmpty ?? false { open[thread] = nil }
        if open[thread]?.allSatisfy(\.progress.isEmpty) ?? true { atWork.remove(thread) }
    }

    private mutating func decide(
        _ request: TraceRequest,
        _ decision: TraceDecision,
        _ thread: Int
    ) throws(OracleViolation) {
        let top = try top(request, thread)
        if let range = decision.range {
            try require(.isDecided, request.range.contains(range), "\(range) was not asked for")
        }
        let isRanged = (decision.verdict == .clamp) == (decision.range != nil)
        try require(.isDecided, isRanged, "a clamp, and nothing else, has a range")
        let wasAllowed = top.isAllowed
        let isAllowed = updateTop(thread) { open in
            open.verdict = decision.verdict
            return open.isAllowed
        }
        if isAllowed == true, !wasAllowed { allowed.insert(request.range, top.number) }
        if isAllowed == false, wasAllowed { allowed.remove(request.range, top.number) }
    }

    /// Whether pages may be prepared for: they are the change's, and nobody of the host holds one that it loses.
    private func check(_ change: OwnershipChange) throws(OracleViolation) {
        let range = change.range
        try require(
            .legalMove,
            range.isAligned(to: layout.granularity),
            "\(range) is not in units of the granularity"
        )
        if let hole = layout.firstHole(in: range) {
            throw OracleViolation(.legalMove, "there is no memory at \(hole.address)")
        }
        switch change.move {
        case .handOver(from: .host, _): try checkHolders(of: range)
        case .handOver(from: .guest, _), .give: break
        case .stay: throw OracleViolation(.noOp, "\(change.range) is \(change.from) already")
        case .askTicket, .illegal:
            throw OracleViolation(.legalMove, "\(change.from) pages do not become \(change.to)")
        }
    }

    /// A lease of pages of a range.
    private func lease(meeting range: PageRange, _ isMeant: (TraceLease) -> Bool = { _ in true }) -> TraceLease? {
        var found: TraceLease?
        leased.forEach(meeting: range) { id in
            guard found == nil, let lease = leases[LeaseID(rawValue: id)], isMeant(lease) else { return }
            found = lease
        }
        return found
    }

    private func isHeld(_ range: PageRange) -> Bool { leased.firstPage(in: range) != nil }

    private func checkHolders(of range: PageRange) throws(OracleViolation) {
        guard isHeld(range), let lease = lease(meeting: range) else { return }
        let text = "\(lease.holder) holds \(lease.range), and the host is to lose it"
        throw OracleViolation(.waitsForHolders, text, isOfState: true)
    }

    private mutating func prepare(_ change: OwnershipChange, _ thread: Int) throws(OracleViolation) {
        try check(change)
        if let top = open[thread]?.last {
            let request = top.request
            try checkIsAllowed(top)
            try require(
                .isRecorded,
                request.range.contains(change.range) && request.target == change.to
                    && request.requester.party == change.initiator,
                "the request on its thread is another one: \(request)"
            )
            try checkOwnership(change.range, .ownershipAsTold, change.from)
            try checkRefusals(in: change.range)
            if let last = top.progress.last, !isDisturbed(top, thread) { try checkIsMaximal(change, after: last) }
            ownership.set(change.range, to: .inTransit)
            atWork.insert(thread)
            _ = updateTop(thread) { $0.progress.prepare(change) }
            return
        }
        let id = TicketID(rawValue: ticketOfPage[change.range.start] ?? 0)
        guard let waiting = pending[id], waiting.ticket.target == change.to,
            waiting.before.contains(where: { $0.state == change.from && $0.range.contains(change.range) })
        else {
            throw OracleViolation(.endsOnce, "no request and no hand-over is about \(change)", isOfState: true)
        }
        try require(
            .stepsInOrder,
            !waiting.progress.underWay.contains { $0.range.overlaps(change.range) },
            "\(change.range) has been prepared for already"
        )
        pending[id]?.progress.prepare(change)
        pending[id]?.retry = nil
        pending[id]?.blockers = []
    }

    private func checkIsMaximal(_ change: OwnershipChange, after last: OwnershipChange) throws(OracleViolation) {
        let isNext = last.range.end == change.range.start.rawValue || change.range.end == last.range.start.rawValue
        let isAlike = (last.from, last.to, last.initiator) == (change.from, change.to, change.initiator)
        let isInRegion = layout.region(containing: last.range.start) == layout.region(containing: change.range.start)
        guard isNext, isAlike, isInRegion else { return }
        throw OracleViolation(.runsAreMaximal, "\(last.range) and \(change.range) are one run")
    }

    private func checkOwnership(
        _ range: PageRange,
        _ rule: OracleRule,
        _ expected: Ownership
    ) throws(OracleViolation) {
        if let other = ownership.runs(in: range).first(where: { $0.state != expected }) {
            throw OracleViolation(rule, "\(other.range) is \(other.state), not \(expected)", isOfState: true)
        }
    }

    /// Takes a change one step further, of the request on the thread or of the hand-over that it belongs to.
    ///
    /// - Returns: whether it is of the request.
    @discardableResult
    private mutating func advance(
        _ change: OwnershipChange,
        _ thread: Int,
        _ before: String,
        _ body: (inout ChangeProgress) -> Bool
    ) throws(OracleViolation) -> Bool {
        if updateTop(thread, { body(&$0.progress) }) == true { return true }
        if layout.firstHole(in: change.range) == nil {
            let id = TicketID(rawValue: ticketOfPage[change.range.start] ?? 0)
            if var progress = pending[id]?.progress, body(&progress) {
                pending[id]?.progress = progress
                return false
            }
        }
        let text = "\(change) has not been \(before)"
        throw OracleViolation(.stepsInOrder, text, isOfState: open[thread] == nil)
    }

    /// The request that a committed change is of.
    private func request(of change: OwnershipChange, _ thread: Int) -> TraceRequest? {
        let start = change.range.start
        if let top = open[thread]?.last, top.progress.committed[start] == change { return top.request }
        let waiting = pending[TicketID(rawValue: ticketOfPage[start] ?? 0)]
        return waiting.flatMap { $0.progress.committed[start] == change ? $0.request : nil }
    }

    private mutating func finish(
        _ change: OwnershipChange,
        _ contents: ContentsEffect,
        _ thread: Int
    ) throws(OracleViolation) {
        if change.from.allows(.guest), change.to.allows(.guest) {
            let declared = capabilities.contentsEffect(of: change.to)
            let isDeclared = declared == .unspecified || contents == .unspecified || contents == declared
            let text = "the contents are \(contents.rawValue), and the back end declares \(declared.rawValue)"
            try require(.contentsAsDeclared, isDeclared, text)
        }
        if let wanted = request(of: change, thread)?.contents, contents == .preserved || contents == .zeroed {
            let isWanted = wanted == .any || wanted.rawValue == contents.rawValue
            let text = "the contents are \(contents.rawValue), and \(wanted.rawValue) ones were asked for"
            try require(.contentsAsDeclared, isWanted, text)
        }
        let isOfRequest = try advance(change, thread, "committed") { $0.finish(change, contents) }
        discarded.set(change.range, to: false)
        if isOfRequest { ownership.set(change.range, to: change.to) }
    }

    private mutating func answer(
        _ request: TraceRequest,
        _ outcome: TraceOutcome,
        _ thread: Int,
        _ now: Timestamp
    ) throws(OracleViolation) {
        let top = try top(request, thread)
        let progress = top.progress
        let isUndisturbed = !isDisturbed(top, thread)
        try require(
            .isRecorded,
            outcome.range == request.range,
            "the answer is about \(outcome.range), which was not asked for"
        )
        try require(
            .pagesAreCounted,
            outcome.changedPages == progress.finishedPages,
            "\(outcome.changedPages) pages changed by the answer, and \(progress.finishedPages) by the steps"
        )
        try require(
            .contentsAreSummed,
            outcome.contents == progress.contents ?? .preserved,
            "the contents are \(outcome.contents.rawValue) by the answer, and not by the steps"
        )
        let isStopped = outcome.stoppedAt != nil
        try require(.isRecorded, (outcome.status == .completed) != isStopped, "what is completed has not stopped")
        try require(
            .isRecorded,
            (outcome.status == .pending) == (outcome.ticket != nil),
            "what is pending, and nothing else, has a ticket"
        )
        if let stop = outcome.stoppedAt {
            try require(.isRecorded, request.range.contains(stop), "\(stop) was not asked for")
        }
        try require(
            .isRecorded,
            (outcome.status == .stopped) == (outcome.error != nil),
            "what is stopped, and nothing else, has an error"
        )
        if let error = outcome.error {
            try require(.isRecorded, request.prefix != nil, "a part of the request is not enough")
            try check(error, of: top)
        }
        try checkBound(request, progress, isUndisturbed)
        if isUndisturbed, let done = outcome.stoppedAt.map({ request.range.prefix(before: $0) }) ?? request.range {
            for piece in layout.memory(in: done) { try checkOwnership(piece, .prefixIsDone, request.target) }
        }
        if isUndisturbed, progress.isEmpty, outcome.status == .blocked || outcome.status == .pending {
            let isSo = layout.memory(in: request.range).allSatisfy { ownership.isUniform($0, request.target) }
            try requireState(.noOp, !isSo, "all pages are \(request.target) already, and nobody is waited for")
        }
        try checkDecision(top, outcome.status)
        let begun = try begun(request, outcome, top, now)
        try checkBlockers(outcome, top, begun, now)
        pop(thread)
        restore(progress, except: begun)
        if let begun { register(begun) }
    }

    private func checkIsAllowed(_ top: OpenRequest) throws(OracleViolation) {
        try require(.isDecided, top.verdict != nil, "the policy has not been asked")
        try require(.isDecided, top.isAllowed, "the policy did not allow it")
    }

    /// What became of a request is what the policy said last.
    private func checkDecision(_ top: OpenRequest, _ status: TraceOutcome.Status) throws(OracleViolation) {
        switch status {
        case .blocked, .pending: try checkIsAllowed(top)
        case .completed: try require(.isDecided, top.verdict == nil || top.isAllowed, "the policy did not allow it")
        case .deferred: try require(.isDecided, top.verdict != .deny, "the policy denied it")
        case .stopped: try require(.isDecided, top.verdict != .later, "the policy put it off")
        }
    }

    /// Why a request was not carried out is about its pages, and so.
    private func check(_ error: TraceRefusal, of top: OpenRequest) throws(OracleViolation) {
        let asked = top.request.range
        let pages = error.range ?? asked
        try require(.isRecorded, asked.contains(pages), "\(pages) was not asked for")
        let isDenied = error.code == ConversionError.Code.denied.rawValue
        let text = isDenied ? "the policy did not deny it" : "the policy denied it"
        try require(.isDecided, isDenied == (top.verdict == .deny), text)
        switch ConversionError.Code(rawValue: error.code) {
        case .hole: try require(.isRecorded, layout.firstHole(in: pages) != nil, "there is memory at all of \(pages)")
        case .misaligned:
            let isWhole = capabilities.hostUnit != .region && asked.isAligned(to: layout.granularity)
            try require(.isRecorded, !isWhole, "\(asked) is in units of the granularity")
        default: break
        }
    }

    // MARK: Holders

    /// Whoever is named as in the way is by the leases, and nobody of them is left out.
    ///
    /// Where the back end has been asked already it is the back end that names them: what it sees is in no other event.
    private func checkBlockers(
        _ outcome: TraceOutcome,
        _ top: OpenRequest,
        _ begun: PendingHandover?,
        _ now: Timestamp
    ) throws(OracleViolation) {
        let blockers = outcome.blockers ?? []
        try checkTimes(of: blockers, now)
        guard outcome.status == .blocked || outcome.status == .pending, top.progress.underWay.isEmpty else { return }
        let asked = top.request
        var pages: [PageRange] = []
        if let begun {
            pages = begun.before.filter { isLost($0, asked) }.map(\.range)
        } else if let ticket = outcome.ticket {
            pages = [ticket.range]
        } else if let rest = outcome.stoppedAt.flatMap({ asked.range.suffix(from: $0) }) {
            for piece in layout.memory(in: rest) {
                pages += ownership.runs(in: piece).filter { isLost($0, asked) }.map(\.range)
            }
        }
        let held = Holds(of: pages.flatMap(leases(meeting:)))
        for blocker in blockers {
            try requireState(
                .waitsForHolders,
                held.contains(blocker),
                "\(blocker.holder) does not hold \(blocker.range), or not as long"
            )
        }
        // How much of the rest was to be changed at once is not known of a part.
        let isPart = outcome.ticket == nil && asked.prefix != nil
        let left = isPart && !blockers.isEmpty ? nil : held.first(notIn: blockers)
        try requireState(
            .waitsForHolders,
            left == nil && (outcome.ticket != nil || !blockers.isEmpty),
            left.map { "\($0) is in the way, and is not named" } ?? "nobody is in the way"
        )
    }

    /// Whether a request takes pages from the host.
    private func isLost(_ run: PageRun<Ownership>, _ request: TraceRequest) -> Bool {
        let party = request.requester.party
        let move = TransitionTable.move(from: run.state, to: request.target, initiator: party)
        return if case .handOver(from: .host, _) = move { true } else { false }
    }

    /// The leases of pages of a range, each with those pages and when it was told of.
    private func leases(meeting range: PageRange) -> [(lease: TraceLease, pages: PageRange, time: Timestamp)] {
        var found: [(lease: TraceLease, pages: PageRange, time: Timestamp)] = []
        leased.forEach(meeting: range) { number in
            let id = LeaseID(rawValue: number)
            guard let lease = leases[id], let time = leaseTimes[id], let pages = lease.range.intersection(range)
            else { return }
            found.append((lease, pages, time))
        }
        return found
    }

    /// Nobody has held anything since a time that is still to come.
    private func checkTimes(of blockers: [Blocker], _ now: Timestamp) throws(OracleViolation) {
        guard let early = blockers.first(where: { $0.since > now }) else { return }
        let text = "\(early.holder) holds \(early.range) since \(early.since.rawValue) ns, which is still to come"
        throw OracleViolation(.waitsForHolders, text)
    }

    // MARK: Bounds

    /// A guest's request does at most so much, but for regions that go as a whole.
    private func checkBound(
        _ request: TraceRequest,
        _ progress: ChangeProgress,
        _ isUndisturbed: Bool
    ) throws(OracleViolation) {
        guard let bound = request.prefix else { return }
        let unit = layout.granularity.pages
        let isWhole = capabilities.hostUnit == .region
        let moved = progress.finished.filter { !isWhole || ($0.from != .host && $0.to != .host) }
        let pages = moved.reduce(0) { $0 + $1.range.count }
        try require(
            .requestIsBounded,
            pages <= max(unit, bound.pages / unit * unit),
            "\(pages) pages changed, and the request may cover \(bound.pages)"
        )
        guard isUndisturbed else { return }
        try require(
            .requestIsBounded,
            progress.finished.count <= bound.runs,
            "\(progress.finished.count) runs changed, and the request may cover \(bound.runs)"
        )
    }

    private mutating func register(_ begun: PendingHandover) {
        for run in begun.before {
            ownership.set(run.range, to: .inTransit)
            ticketOfPage.set(run.range, to: begun.ticket.id.rawValue)
        }
        pending[begun.ticket.id] = begun
        lastTicket = begun.ticket.id
        if begun.request.requester.party == .guest { pendingOfGuest += 1 }
    }

    private mutating func unregister(_ waiting: PendingHandover) {
        for run in waiting.before { ticketOfPage.set(run.range, to: 0) }
        pending[waiting.ticket.id] = nil
        if waiting.request.requester.party == .guest { pendingOfGuest -= 1 }
    }

    /// The hand-over that an answer says has been registered; `nil` where there is none, or it was there.
    private func begun(
        _ request: TraceRequest,
        _ outcome: TraceOutcome,
        _ top: OpenRequest,
        _ now: Timestamp
    ) throws(OracleViolation) -> PendingHandover? {
        guard let ticket = outcome.ticket else { return nil }
        try require(.isRecorded, ticket.target == request.target, "hand-over \(ticket.id) is to \(ticket.target)")
        try require(.isRecorded, ticket.since <= now, "hand-over \(ticket.id) begins at a time to come")
        if let known = pending[ticket.id] {
            guard known.ticket == ticket else { throw unknown(ticket) }
            return nil
        }
        try requireState(.endsOnce, ticket.id > lastTicket, "hand-over \(ticket.id) has ended")
        try requireState(.endsOnce, request.range.contains(ticket.range), "\(ticket.range) was not asked for")
        // What the back end is at already is in transit; the rest waits for leases.
        let progress = top.progress.underWay(within: ticket.range)
        var before = progress.before
        if before.isEmpty {
            // A change that the back end completes by itself cannot always be withdrawn; this has not even begun.
            try requireState(.endsOnce, request.whenHeld == .handOver, "the request was not to wait")
            before = try waitingRuns(request, ticket)
            try checkPending(request.requester.party)
        }
        try requireState(.noOp, !before.isEmpty, "all pages of \(ticket.range) are \(ticket.target) already")
        return PendingHandover(
            ticket: ticket,
            request: request,
            before: before,
            progress: progress,
            blockers: outcome.blockers ?? []
        )
    }

    /// The runs that a hand-over is going to change, of which somebody holds a page.
    private func waitingRuns(
        _ request: TraceRequest,
        _ ticket: TraceTicket
    ) throws(OracleViolation) -> [PageRun<Ownership>] {
        var before: [PageRun<Ownership>] = []
        for piece in layout.memory(in: ticket.range) {
            for run in ownership.runs(in: piece) where run.state != ticket.target {
                let move = TransitionTable.move(
                    from: run.state,
                    to: ticket.target,
                    initiator: request.requester.party
                )
                switch move {
                case .give, .handOver: before.append(run)
                case .stay, .askTicket, .illegal:
                    let text = "\(run.range) is \(run.state) and does not become \(ticket.target)"
                    throw OracleViolation(.legalMove, text, isOfState: true)
                }
            }
        }
        guard !before.isEmpty else { return [] }
        try requireState(
            .endsOnce,
            before.contains { isHeld($0.range) },
            "nobody holds a page of \(ticket.range), so nothing is waited for"
        )
        return before
    }

    /// Whether one more hand-over of a party may be pending.
    private func checkPending(_ party: Party) throws(OracleViolation) {
        guard let limits else { return }
        let isWithin =
            pending.count < limits.pendingInTotal && (party == .host || pendingOfGuest < limits.pendingHandovers)
        let text = "\(pending.count) hand-overs are pending, \(pendingOfGuest) of the guest's: no more are allowed"
        try require(.pendingIsBounded, isWithin, text)
    }

    /// Puts back what has been prepared for and was not carried out.
    private mutating func restore(_ progress: ChangeProgress, except begun: PendingHandover?) {
        for change in progress.underWay {
            if let begun, begun.ticket.range.contains(change.range) { continue }
            ownership.set(change.range, to: change.from)
        }
    }

    private mutating func fail(
        _ request: TraceRequest,
        _ error: TraceRefusal,
        _ thread: Int
    ) throws(OracleViolation) {
        let top = try top(request, thread)
        let isVeto = error.code == ConversionError.Code.vetoed.rawValue
        try require(
            isVeto ? .vetoUndoes : .failureChangesNothing,
            top.progress.finished.isEmpty,
            "pages have changed, and a request that failed changes none"
        )
        try check(error, of: top)
        pop(thread)
        restore(top.progress, except: nil)
    }

    // MARK: Hand-overs and leases

    private mutating func settle(
        _ ticket: TraceTicket,
        _ result: TraceResult,
        _ now: Timestamp
    ) throws(OracleViolation) {
        guard let waiting = pending[ticket.id], waiting.ticket == ticket else { throw unknown(ticket) }
        let progress = waiting.progress
        let isFound = result == .completed(contents: .unspecified) && progress.isEmpty
        if case .completed(let contents) = result {
            if !isFound { try checkIsDone(waiting, contents) }
        } else {
            let isVeto = if case .vetoed = result { true } else { false }
            try require(
                isVeto ? .vetoUndoes : .failureChangesNothing,
                progress.finished.isEmpty,
                "pages have changed, and a hand-over that was not completed changes none"
            )
        }
        if result == .expired {
            try require(.expiresWhenDue, ticket.deadline.map { $0 <= now } ?? false, "its deadline has not come")
        }
        for run in waiting.before {
            if case .completed = result {
                ownership.set(run.range, to: ticket.target)
            } else {
                ownership.set(run.range, to: run.state)
            }
        }
        if isFound { foundComplete.insert(ticket.id) }
        unregister(waiting)
    }

    private func checkIsDone(_ waiting: PendingHandover, _ contents: ContentsEffect) throws(OracleViolation) {
        let ticket = waiting.ticket
        let all = waiting.before.reduce(0) { $0 + $1.range.count }
        let done = waiting.progress.finishedPages
        try require(.isWhollyDone, done == all, "\(done) of its \(all) pages have changed")
        let known = waiting.progress.contents
        try require(
            .contentsAreSummed,
            known == nil || known == contents,
            "the contents are \(contents.rawValue) by its end, and not by its steps"
        )
        guard !ticket.target.allows(.host) else { return }
        for run in waiting.before where run.state.allows(.host) { try checkHolders(of: run.range) }
    }

    private mutating func enter(_ lease: TraceLease, _ now: Timestamp) throws(OracleViolation) {
        try requireState(.isRecorded, leases[lease.id] == nil, "lease \(lease.id.rawValue) is there already")
        if let hole = layout.firstHole(in: lease.range) {
            throw OracleViolation(.leasedAsOwned, "there is no memory at \(hole.address)")
        }
        if let denied = ownership.runs(in: lease.range).first(where: { !$0.state.allows(.host) }) {
            let text = "\(denied.range) is \(denied.state): the host may not have it"
            throw OracleViolation(.leasedAsOwned, text, isOfState: true)
        }
        try checkRefusals(in: lease.range)
        leases[lease.id] = lease
        leaseTimes[lease.id] = now
        leased.insert(lease.range, lease.id.rawValue)
    }

    private mutating func refuse(
        _ range: PageRange,
        _ error: TraceAccessRefusal,
        _ number: UInt64
    ) throws(OracleViolation) {
        guard let page = error.page else { return }
        try require(.isRecorded, range.contains(page), "\(page) was not asked for")
        let actual = layout.region(containing: page) == nil ? nil : ownership[page]
        switch error.code {
        case .hole: try require(.leasedAsOwned, actual == nil, "there is memory at \(page.address)")
        case .notOwned:
            let isSo = actual == error.ownership && actual?.allows(.host) == false
            try requireState(.leasedAsOwned, isSo, "the page at \(page.address) is not so")
        case .inTransit:
            if let ticket = error.ticket {
                let isIn = pending[ticket]?.before.contains { $0.range.contains(page) } ?? false
                let text = "the page at \(page.address) is not in hand-over \(ticket)"
                try requireState(.leasedAsOwned, isIn, text)
            }
            if actual == .inTransit || (try? PageRange(page)).map({ allowed.firstPage(in: $0) != nil }) == true {
                return
            }
            guard actual != nil, let one = try? PageRange(page) else {
                throw OracleViolation(.leasedAsOwned, "there is no memory at \(page.address)")
            }
            if foundInTransit[page] == 0 { foundInTransit.set(one, to: number) }
        case .invalid, .backend: break
        }
    }

    private mutating func reconnect(_ found: Reconciliation) throws(OracleViolation) {
        try requireState(
            .endsOnce,
            foundComplete == Set(found.completed),
            "other hand-overs were found complete than ended"
        )
        for difference in found.ownership {
            guard difference.after != nil, layout.firstHole(in: difference.range) == nil else {
                throw OracleViolation(.isRecorded, "\(difference.range) is not all RAM")
            }
        }
        var after = self
        // What was made, could not be taken back and stays.
        for difference in found.ownership { after.leave(difference.range) }
        for difference in found.ownership {
            let isKnown = after.ownership.runs(in: difference.range).allSatisfy {
                $0.state == difference.before || $0.state == difference.after
            }
            try requireState(.ownershipAsTold, isKnown, "\(difference.range) was not \(difference)")
        }
        for difference in found.ownership {
            guard let state = difference.after else { continue }
            after.ownership.set(difference.range, to: state)
            after.foundInTransit.set(difference.range, to: 0)
            after.discarded.set(difference.range, to: false)
        }
        after.foundComplete = []
        self = after
    }

    /// Leaves pages out of what is to be put back as it was before.
    private mutating func leave(_ range: PageRange) {
        var made: [OwnershipChange] = []
        for thread in atWork {
            guard let indices = open[thread]?.indices else { continue }
            for index in indices {
                made += open[thread, default: []][index].progress.takeCommitted(within: range)
            }
        }
        for id in Set(ticketOfPage.runs(in: range).map(\.state)) where id != 0 {
            guard var waiting = pending[TicketID(rawValue: id)] else { continue }
            let own = waiting.progress.takeCommitted(within: range)
            guard !own.isEmpty else { continue }
            made += own
            for run in waiting.before where range.contains(run.range) { ticketOfPage.set(run.range, to: 0) }
            waiting.before.removeAll { range.contains($0.range) }
            pending[waiting.ticket.id] = waiting
        }
        for change in made { ownership.set(change.range, to: change.from) }
    }

    /// Pages that somebody was refused as in transit were: nobody may be at them before the back end has said why.
    func checkRefusals(in range: PageRange) throws(OracleViolation) {
        let found = foundInTransit.runs(in: range).filter { $0.state != 0 }.min { $0.state < $1.state }
        guard let found else { return }
        let place = found.range.start.address
        let text = "line \(found.state) of the trace has the page at \(place) in transit, and nobody was at it"
        throw OracleViolation(.leasedAsOwned, text, isOfState: true)
    }

    // MARK: What there is beside the events

    private func close(_ runs: [PageRun<Ownership>]) throws(OracleViolation) {
        try finish()
        try require(.isRecorded, layout.isCovered(by: runs), "the ownership in the end is not that of all RAM")
        try check(runs)
    }

    /// Holds the end of the events against them: nothing is left that another event was to explain.
    public func finish() throws(OracleViolation) {
        try checkRefusals(in: layout.bounds)
        try require(
            .endsOnce,
            foundComplete.isEmpty,
            "hand-overs were complete without steps, and no back end had been away"
        )
    }

    /// Holds the ownership that pages are in against the events.
    ///
    /// - Throws: ``OracleViolation`` for the first pages that are not as the events come to.
    public func check(_ runs: [PageRun<Ownership>]) throws(OracleViolation) {
        for run in runs {
            guard let other = ownership.runs(in: run.range).first(where: { $0.state != run.state }) else { continue }
            let isDiscarded = !discarded.isUniform(other.range, false)
            let text = "\(other.range) is \(run.state), and by the events \(other.state)"
            throw OracleViolation(isDiscarded ? .discardKeepsOwnership : .ownershipAsTold, text)
        }
    }

    /// Holds an access that the back end has let through against the ownership: past every ledger, nobody reaches pages
    /// that are the other side's alone.
    public func checkReach(_ range: PageRange, by party: Party) throws(OracleViolation) {
        guard capabilities.enforcement != .none else { return }
        for piece in layout.memory(in: range) {
            let denied = ownership.runs(in: piece).first { $0.state != .inTransit && !$0.state.allows(party) }
            guard let denied else { continue }
            let text = "the \(party) reached \(denied.range), which is \(denied.state)"
            throw OracleViolation(.enforced, text)
        }
    }

    /// Holds what the releasing thread told of before the release had returned against the release.
    public func checkRelease(_ events: [TraceEvent]) throws(OracleViolation) {
        for event in events {
            if case .released = event { continue }
            throw OracleViolation(.releaseReturns, "on the releasing thread, before the release returned: \(event)")
        }
    }

    /// The hand-overs that nobody holds up, and that have not ended all the same, the oldest first.
    ///
    /// One that waits for its leases must not outlive them; one that the back end is at, or that is tried again later, is
    /// held up by those that it names. It may name none for pages of `unseen`, which are held by who is in no event.
    public func forgotten(at now: Timestamp, unseen: [PageRange] = []) -> [TicketID] {
        pending.values.filter { waiting in
            if waiting.before.contains(where: { isHeld($0.range) }) { return false }
            if waiting.before.contains(where: { run in unseen.contains { $0.overlaps(run.range) } }) { return false }
            if waiting.progress.isEmpty { return waiting.retry.map { $0 <= now } ?? true }
            return waiting.blockers.isEmpty
        }.map(\.ticket.id).sorted()
    }
}

public import Custody
import CustodyPolicy

/// What a trace says of a guest's memory up to a line, and whether the line can follow.
///
/// It is a naive account of ownership, leases and hand-overs, which shares nothing with the controller but the table of
/// moves. It takes lines in the order in which what they tell of took effect. A line that cannot follow changes nothing.
public struct TraceModel: Sendable {
    /// A hand-over that is pending.
    struct Pending: Sendable {
        var ticket: TraceTicket
        /// The pages in transit, as they were.
        var before: [PageRun<Ownership>]
        var work = Work()
    }

    /// How far changes have got that have been prepared for.
    struct Work: Sendable {
        var prepared: [OwnershipChange] = []
        var committed: [OwnershipChange] = []
        var finished: [OwnershipChange] = []

        /// The part that is about pages of a range.
        func within(_ range: PageRange) -> Work {
            func isMeant(_ change: OwnershipChange) -> Bool { range.contains(change.range) }
            return Work(
                prepared: prepared.filter(isMeant),
                committed: committed.filter(isMeant),
                finished: finished.filter(isMeant)
            )
        }

        /// The pages, as they were.
        var before: [PageRun<Ownership>] {
            (prepared + committed + finished).map { PageRun(range: $0.range, state: $0.from) }
        }

        var isEmpty: Bool { prepared.isEmpty && committed.isEmpty && finished.isEmpty }
    }

    /// A request that has no answer yet.
    struct Open: Sendable {
        let request: TraceRequest
        var verdict: TraceDecision.Verdict?
        var work = Work()
        /// Other threads have done something since: what it found may be otherwise by its answer.
        var isDisturbed = false

        /// Whether it may have claimed pages that have not been prepared for yet.
        func mayHave(_ page: PageNumber) -> Bool {
            (verdict == .allow || verdict == .clamp) && request.range.contains(page)
        }
    }

    /// Where the guest has RAM.
    public let layout: GuestMemoryLayout
    /// The ownership of every page; holes are shared in it.
    public private(set) var ownership: PageRunMap<Ownership>
    /// What the host holds.
    public private(set) var leases: [LeaseID: TraceLease] = [:]
    private(set) var pending: [TicketID: Pending] = [:]
    /// The number of the last hand-over that was begun.
    private var lastTicket = TicketID(rawValue: 0)
    /// Hand-overs that were complete without steps: the back end is about to say that it found them so.
    private var foundComplete: Set<TicketID> = []
    /// Pages that somebody was refused as in transit without anybody at them, each with the number of the line: the back
    /// end is about to say that it found them in another ownership.
    private var foundInTransit: [PageNumber: UInt64] = [:]
    private var open: [Int: [Open]] = [:]

    /// The account at the beginning of a trace.
    public init(_ header: TraceHeader) {
        layout = header.layout
        ownership = header.ownershipMap
    }

    /// The ownership of all RAM, from low to high.
    public var runs: [PageRun<Ownership>] { layout.regions.flatMap { ownership.runs(in: $0) } }

    /// The hand-overs that are pending, the oldest first.
    public var tickets: [TraceTicket] { pending.values.map(\.ticket).sorted { $0.id < $1.id } }

    /// Takes a line into the account.
    ///
    /// - Throws: ``TraceContradiction`` where it cannot follow; nothing has changed then.
    public mutating func apply(_ record: TraceRecord) throws(TraceContradiction) {
        let thread = record.thread
        switch record.event {
        case .malformed(let request, _):
            let range = try? PageRange(address: GuestPhysicalAddress(request.address), byteCount: request.byteCount)
            try require(range == nil, "the numbers are a range of pages")
        case .requested(let request): open[thread, default: []].append(Open(request: request))
        case .decided(let request, let decision): try decide(request, decision, thread)
        case .prepared(let change): try prepare(change, thread)
        case .committed(let change): try move(change, thread, from: \.prepared, to: \.committed, "prepared for")
        case .finished(let change, _):
            try move(change, thread, from: \.committed, to: \.finished, "committed")
            if open[thread]?.last?.work.finished.last == change { ownership.set(change.range, to: change.to) }
        case .answered(let request, let outcome): try answer(request, outcome, thread)
        case .failed(let request, let error): try fail(request, error, thread)
        case .postponed(let ticket, _, _):
            guard let waiting = pending[ticket.id], waiting.ticket == ticket else { throw unknown(ticket) }
            pending[ticket.id]?.work = Work()
        case .advanced(let ticket, _):
            guard let waiting = pending[ticket.id], waiting.ticket == ticket else { throw unknown(ticket) }
        case .settled(let ticket, let result): try settle(ticket, result, record.time)
        case .leased(let lease): try enter(lease)
        case .leaseRefused(_, let range, _, let error): try refuse(range, error, record.number)
        case .released(let lease):
            try requireState(leases[lease.id] == lease, "nobody holds this lease")
            leases[lease.id] = nil
        case .discarded(let range, _): try require(layout.firstHole(in: range) == nil, "\(range) is not all RAM")
        case .vetoed, .dismissed, .marked, .lost: break
        case .reconnected(let found): try reconnect(found)
        case .dropped(let count):
            throw TraceContradiction("\(count) events are missing here: what follows cannot be held against them")
        case .closed(let runs): try close(runs)
        }
        disturb(by: thread)
    }

    private func require(_ isSo: Bool, _ why: @autoclosure () -> String) throws(TraceContradiction) {
        if !isSo { throw TraceContradiction(why()) }
    }

    /// Requires what follows from the lines before.
    private func requireState(_ isSo: Bool, _ why: @autoclosure () -> String) throws(TraceContradiction) {
        if !isSo { throw TraceContradiction(why(), isOfState: true) }
    }

    private func unknown(_ ticket: TraceTicket) -> TraceContradiction {
        if let known = pending[ticket.id] {
            return TraceContradiction("hand-over \(ticket.id) is \(known.ticket), not \(ticket)")
        }
        let isOver = ticket.id <= lastTicket
        return TraceContradiction("hand-over \(ticket.id) \(isOver ? "has ended" : "was never begun")", isOfState: true)
    }

    /// Notes that what requests on other threads find may be otherwise by now.
    private mutating func disturb(by thread: Int) {
        for other in Array(open.keys) where other != thread {
            guard var requests = open[other] else { continue }
            for index in requests.indices { requests[index].isDisturbed = true }
            open[other] = requests
        }
    }

    // MARK: Requests

    private func top(_ request: TraceRequest, _ thread: Int) throws(TraceContradiction) -> Open {
        guard let top = open[thread]?.last else { throw TraceContradiction("nobody asked for this on its thread") }
        try require(top.request == request, "the request on its thread is another one: \(top.request)")
        return top
    }

    private mutating func updateTop(_ thread: Int, _ body: (inout Open) -> Void) {
        guard var requests = open[thread], !requests.isEmpty else { return }
        body(&requests[requests.count - 1])
        open[thread] = requests
    }

    private mutating func pop(_ thread: Int) {
        open[thread]?.removeLast()
        if open[thread]?.isEmpty ?? false { open[thread] = nil }
    }

    private mutating func decide(
        _ request: TraceRequest,
        _ decision: TraceDecision,
        _ thread: Int
    ) throws(TraceContradiction) {
        _ = try top(request, thread)
        if let range = decision.range {
            try require(request.range.contains(range), "\(range) was not asked for")
        }
        try require((decision.verdict == .clamp) == (decision.range != nil), "a clamp, and nothing else, has a range")
        updateTop(thread) { $0.verdict = decision.verdict }
    }

    /// Whether pages may be prepared for: they are the change's, and nobody of the host holds one that it loses.
    private func check(_ change: OwnershipChange) throws(TraceContradiction) {
        let range = change.range
        try require(range.isAligned(to: layout.granularity), "\(range) is not in units of the granularity")
        if let hole = layout.firstHole(in: range) { throw TraceContradiction("there is no memory at \(hole.address)") }
        switch change.move {
        case .handOver(from: .host, _): try checkHolders(of: range)
        case .handOver(from: .guest, _), .give: break
        case .stay, .askTicket, .illegal: throw TraceContradiction("\(change.from) pages do not become \(change.to)")
        }
    }

    private func checkHolders(of range: PageRange) throws(TraceContradiction) {
        if let lease = leases.values.first(where: { $0.range.overlaps(range) }) {
            throw TraceContradiction(
                "\(lease.holder) holds \(lease.range), and the host is to lose it",
                isOfState: true
            )
        }
    }

    private mutating func prepare(_ change: OwnershipChange, _ thread: Int) throws(TraceContradiction) {
        try check(change)
        if let top = open[thread]?.last {
            let request = top.request
            try require(top.verdict != nil, "the policy has not been asked")
            try require(top.verdict != .deny && top.verdict != .later, "the policy did not allow it")
            try require(
                request.range.contains(change.range) && request.target == change.to
                    && request.requester.party == change.initiator,
                "the request on its thread is another one: \(request)"
            )
            try checkOwnership(change.range, change.from)
            try checkRefusals(in: change.range)
            ownership.set(change.range, to: .inTransit)
            updateTop(thread) { $0.work.prepared.append(change) }
            return
        }
        let id = pending.first { _, waiting in
            waiting.ticket.target == change.to
                && waiting.before.contains { $0.state == change.from && $0.range.contains(change.range) }
        }?.key
        guard let id else {
            throw TraceContradiction("no request and no hand-over is about \(change)", isOfState: true)
        }
        try require(
            !(pending[id]?.work.prepared ?? []).contains { $0.range.overlaps(change.range) },
            "\(change.range) has been prepared for already"
        )
        pending[id]?.work.prepared.append(change)
    }

    private func checkOwnership(_ range: PageRange, _ expected: Ownership) throws(TraceContradiction) {
        if let other = ownership.runs(in: range).first(where: { $0.state != expected }) {
            throw TraceContradiction("\(other.range) is \(other.state), not \(expected)", isOfState: true)
        }
    }

    /// Takes a change one step further, of the request on the thread or of the hand-over that it belongs to.
    private mutating func move(
        _ change: OwnershipChange,
        _ thread: Int,
        from: WritableKeyPath<Work, [OwnershipChange]>,
        to: WritableKeyPath<Work, [OwnershipChange]>,
        _ before: String
    ) throws(TraceContradiction) {
        func advance(_ work: inout Work) -> Bool {
            guard let index = work[keyPath: from].firstIndex(of: change) else { return false }
            work[keyPath: from].remove(at: index)
            work[keyPath: to].append(change)
            return true
        }
        if var requests = open[thread], !requests.isEmpty, advance(&requests[requests.count - 1].work) {
            open[thread] = requests
            return
        }
        for (id, waiting) in pending {
            var work = waiting.work
            if advance(&work) {
                pending[id]?.work = work
                return
            }
        }
        throw TraceContradiction("\(change) has not been \(before)", isOfState: open[thread] == nil)
    }

    private mutating func answer(
        _ request: TraceRequest,
        _ outcome: TraceOutcome,
        _ thread: Int
    ) throws(TraceContradiction) {
        let top = try top(request, thread)
        let changed = top.work.finished.reduce(0) { $0 + $1.range.count }
        try require(outcome.range == request.range, "the answer is about \(outcome.range), which was not asked for")
        try require(
            outcome.changedPages == changed,
            "\(outcome.changedPages) pages changed by the answer, and \(changed) by the steps"
        )
        try require((outcome.status == .completed) == (outcome.stoppedAt == nil), "what is completed has not stopped")
        try require(
            (outcome.status == .pending) == (outcome.ticket != nil),
            "what is pending, and nothing else, has a ticket"
        )
        if let stop = outcome.stoppedAt { try require(request.range.contains(stop), "\(stop) was not asked for") }
        if !top.isDisturbed, let done = outcome.stoppedAt.map({ request.range.prefix(before: $0) }) ?? request.range {
            for piece in layout.memory(in: done) { try checkOwnership(piece, request.target) }
        }
        if outcome.status == .blocked, top.work.prepared.isEmpty, top.work.committed.isEmpty {
            for blocker in outcome.blockers ?? [] {
                try requireState(
                    leases.values.contains { $0.holder == blocker.holder && $0.range.contains(blocker.range) },
                    "\(blocker.holder) does not hold \(blocker.range)"
                )
            }
        }
        let begun = try begun(request, outcome, top)
        pop(thread)
        restore(top.work, except: begun)
        if let begun {
            for run in begun.before { ownership.set(run.range, to: .inTransit) }
            pending[begun.ticket.id] = begun
            lastTicket = begun.ticket.id
        }
    }

    /// The hand-over that an answer says has been registered; `nil` where there is none, or it was there.
    private func begun(
        _ request: TraceRequest,
        _ outcome: TraceOutcome,
        _ top: Open
    ) throws(TraceContradiction) -> Pending? {
        guard let ticket = outcome.ticket else { return nil }
        try require(ticket.target == request.target, "hand-over \(ticket.id) is to \(ticket.target)")
        if let known = pending[ticket.id] {
            guard known.ticket == ticket else { throw unknown(ticket) }
            return nil
        }
        try requireState(ticket.id > lastTicket, "hand-over \(ticket.id) has ended")
        try requireState(request.range.contains(ticket.range), "\(ticket.range) was not asked for")
        try require(top.verdict == .allow || top.verdict == .clamp, "the policy did not allow it")
        // What the back end is at already is in transit; the rest waits for leases.
        var work = top.work.within(ticket.range)
        work.finished = []
        var before = work.before
        if before.isEmpty {
            // A change that the back end completes by itself cannot always be withdrawn; this has not even begun.
            try requireState(request.whenHeld == .handOver, "the request was not to wait")
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
                        throw TraceContradiction(text, isOfState: true)
                    }
                }
            }
            let isHeld = before.contains { run in leases.values.contains { $0.range.overlaps(run.range) } }
            try requireState(isHeld, "nobody holds a page of \(ticket.range), so nothing is waited for")
        }
        try requireState(!before.isEmpty, "all pages of \(ticket.range) are \(ticket.target) already")
        return Pending(ticket: ticket, before: before, work: work)
    }

    /// Puts back what has been prepared for and was not carried out.
    private mutating func restore(_ work: Work, except begun: Pending?) {
        for change in work.prepared + work.committed {
            if let begun, begun.ticket.range.contains(change.range) { continue }
            ownership.set(change.range, to: change.from)
        }
    }

    private mutating func fail(
        _ request: TraceRequest,
        _ error: TraceRefusal,
        _ thread: Int
    ) throws(TraceContradiction) {
        let top = try top(request, thread)
        try require(top.work.finished.isEmpty, "pages have changed, and a request that failed changes none")
        if error.code == "denied" { try require(top.verdict == .deny, "the policy did not deny it") }
        pop(thread)
        restore(top.work, except: nil)
    }

    // MARK: Hand-overs and leases

    private mutating func settle(
        _ ticket: TraceTicket,
        _ result: TraceResult,
        _ now: Timestamp
    ) throws(TraceContradiction) {
        guard let waiting = pending[ticket.id], waiting.ticket == ticket else { throw unknown(ticket) }
        let isFound = result == .completed(contents: .unspecified) && waiting.work.isEmpty
        if case .completed = result, !isFound {
            let done = waiting.work.finished.reduce(0) { $0 + $1.range.count }
            let all = waiting.before.reduce(0) { $0 + $1.range.count }
            try require(done == all, "\(done) of its \(all) pages have changed")
            if !ticket.target.allows(.host) {
                for run in waiting.before where run.state.allows(.host) { try checkHolders(of: run.range) }
            }
        }
        if result == .expired {
            try require(ticket.deadline.map { $0 <= now } ?? false, "its deadline has not come")
        }
        for run in waiting.before {
            if case .completed = result {
                ownership.set(run.range, to: ticket.target)
            } else {
                ownership.set(run.range, to: run.state)
            }
        }
        if isFound { foundComplete.insert(ticket.id) }
        pending[ticket.id] = nil
    }

    private mutating func enter(_ lease: TraceLease) throws(TraceContradiction) {
        try requireState(leases[lease.id] == nil, "lease \(lease.id.rawValue) is there already")
        if let hole = layout.firstHole(in: lease.range) {
            throw TraceContradiction("there is no memory at \(hole.address)")
        }
        if let denied = ownership.runs(in: lease.range).first(where: { !$0.state.allows(.host) }) {
            throw TraceContradiction("\(denied.range) is \(denied.state): the host may not have it", isOfState: true)
        }
        try checkRefusals(in: lease.range)
        leases[lease.id] = lease
    }

    private mutating func refuse(
        _ range: PageRange,
        _ error: TraceAccessRefusal,
        _ number: UInt64
    ) throws(TraceContradiction) {
        guard let page = error.page else { return }
        try require(range.contains(page), "\(page) was not asked for")
        let actual = layout.region(containing: page) == nil ? nil : ownership[page]
        switch error.code {
        case .hole: try require(actual == nil, "there is memory at \(page.address)")
        case .notOwned: try requireState(actual == error.ownership, "the page at \(page.address) is not so")
        case .inTransit:
            if let ticket = error.ticket {
                let isIn = pending[ticket]?.before.contains { $0.range.contains(page) } ?? false
                try requireState(isIn, "the page at \(page.address) is not in hand-over \(ticket)")
            }
            if actual == .inTransit || open.values.contains(where: { $0.contains { $0.mayHave(page) } }) { return }
            try require(actual != nil, "there is no memory at \(page.address)")
            foundInTransit[page] = foundInTransit[page] ?? number
        case .invalid, .backend: break
        }
    }

    private mutating func reconnect(_ found: Reconciliation) throws(TraceContradiction) {
        try requireState(foundComplete == Set(found.completed), "other hand-overs were found complete than ended")
        // What was made, could not be taken back and stays.
        for difference in found.ownership { leave(difference.range) }
        for difference in found.ownership {
            guard let after = difference.after, layout.firstHole(in: difference.range) == nil else {
                throw TraceContradiction("\(difference.range) is not all RAM")
            }
            let isKnown = ownership.runs(in: difference.range).allSatisfy {
                $0.state == difference.before || $0.state == after
            }
            try requireState(isKnown, "\(difference.range) was not \(difference)")
        }
        for difference in found.ownership {
            if let after = difference.after { ownership.set(difference.range, to: after) }
        }
        foundComplete = []
        foundInTransit = foundInTransit.filter { entry in
            !found.ownership.contains { $0.range.contains(entry.key) }
        }
    }

    /// Leaves pages out of what is to be put back as it was before.
    private mutating func leave(_ range: PageRange) {
        var made: [OwnershipChange] = []
        func take(from work: inout Work) {
            made += work.committed.filter { range.contains($0.range) }
            work.committed.removeAll { range.contains($0.range) }
        }
        for (thread, requests) in open {
            var requests = requests
            for index in requests.indices { take(from: &requests[index].work) }
            open[thread] = requests
        }
        for id in Array(pending.keys) {
            guard var waiting = pending[id] else { continue }
            let count = made.count
            take(from: &waiting.work)
            guard made.count > count else { continue }
            waiting.before.removeAll { range.contains($0.range) }
            pending[id] = waiting
        }
        for change in made { ownership.set(change.range, to: change.from) }
    }

    /// Pages that somebody was refused as in transit were: nobody may be at them before the back end has said why.
    func checkRefusals(in range: PageRange) throws(TraceContradiction) {
        guard let (page, number) = foundInTransit.filter({ range.contains($0.key) }).min(by: { $0.value < $1.value })
        else { return }
        let text = "line \(number) of the trace has the page at \(page.address) in transit, and nobody was at it"
        throw TraceContradiction(text, isOfState: true)
    }

    private func close(_ runs: [PageRun<Ownership>]) throws(TraceContradiction) {
        try checkRefusals(in: layout.bounds)
        try require(foundComplete.isEmpty, "hand-overs were complete without steps, and no back end had been away")
        try require(layout.isCovered(by: runs), "the ownership in the end is not that of all RAM")
        for run in runs {
            if let other = ownership.runs(in: run.range).first(where: { $0.state != run.state }) {
                throw TraceContradiction("\(other.range) is \(run.state) in the end, and by the lines \(other.state)")
            }
        }
    }
}

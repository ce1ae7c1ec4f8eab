public import Custody
public import CustodyOptions
public import CustodyConfiguration
public import CustodyPolicy
import CustodyProtocols
import CustodyTrace

/// Plays a scenario on a back end, one step after the other, through a controller of its own.
///
/// An oracle is told of everything that the controller does, and is asked after each step whether a promise was broken,
/// whatever the steps expect.
public struct ScenarioRunner: ~Copyable {
    /// The most pages that the steps of a play have changed, thrown away or measured: 16 GiB. A back end does that page by
    /// page, and a small file can ask for any number of them.
    public static let maximumPages: UInt64 = 1 << 22

    private let facets: PlayFacets
    private let limits: ControllerLimits
    /// The pages that the next steps may still have changed.
    private var pagesLeft = ScenarioRunner.maximumPages
    private let controller: MemoryController
    private let recorder = EventRecorder()
    private var leases = LeaseTable()
    private var newest: Ticket?
    private var audit: PlayAudit
    private var pace = AuditPace()
    /// The rule that was broken in this step, where one was.
    private var broken: OracleViolation?
    /// Accesses of this step that went through, although the ownership before it denied them.
    private var suspects: [(range: PageRange, party: Party)] = []
    /// Pages that steps of the kernel's own have been at: who holds them is in no event.
    private var unseen: [PageRange] = []

    /// A runner for a fresh back end. The `observer` sees what the controller does, beside the runner.
    public init(
        backend: any MemoryBackend,
        policy: any Policy = AllowAll(),
        limits: ControllerLimits = ControllerLimits(),
        pool: SharedPool? = nil,
        observer: (any ControllerObserver)? = nil
    ) {
        facets = PlayFacets(backend)
        self.limits = limits
        audit = PlayAudit(of: backend, limits: limits)
        let observers = [recorder, observer].compactMap(\.self)
        controller = MemoryController(
            backend: backend,
            policy: policy,
            limits: limits,
            pool: pool,
            observer: ObserverGroup(observers)
        )
    }

    /// A runner for a fresh back end, by the rules, the limits and the pool of a configuration: one of `pools`.
    ///
    /// - Throws: `ConfigurationError` where another configuration gave the pool another size.
    public init(
        backend: any MemoryBackend,
        configuration: Configuration,
        pools: SharedPools = .process,
        observer: (any ControllerObserver)? = nil
    ) throws(ConfigurationError) {
        self.init(
            backend: backend,
            policy: configuration.policy,
            limits: configuration.limits,
            pool: try pools.pool(for: configuration),
            observer: observer
        )
    }

    /// All that the controller knows now.
    public var snapshot: ControllerSnapshot { controller.snapshot() }

    /// Plays all steps. A step that is not as expected does not end the play, unless the guest is gone.
    public mutating func run(_ scenario: Scenario) -> ScenarioReport {
        var reports: [StepReport] = []
        var isLost = false
        for step in scenario.steps {
            let report = play(step)
            reports.append(report)
            isLost = isLost || report.events.contains(where: \.isEnd)
            if isLost, report.failure != nil { break }
        }
        let events = settle().events
        let ownership = controller.runs(in: controller.layout.bounds)
        var last = audit.take(events, then: ownership)
        last = last ?? audit.finish()
        return ScenarioReport(
            scenario: scenario,
            steps: reports,
            lateEvents: events.map(\.event),
            ownership: ownership,
            forgotten: isLost ? [] : audit.forgotten(at: facets.executor.now, unseen: unseen),
            broken: last
        )
    }

    /// Lets everything that is due be done.
    ///
    /// - Returns: what has happened since it was asked for last, in the order in which it took effect, and the ownership
    ///   after exactly that; none where it is not due to be looked at.
    private mutating func settle() -> (events: [RecordedEvent], ownership: [PageRun<Ownership>]?) {
        var events: [RecordedEvent] = []
        let isDue = pace.isDue
        while true {
            facets.executor.drain()
            let ownership = isDue ? controller.runs(in: controller.layout.bounds) : nil
            // What was under way when the ownership was looked at has told of itself by now.
            facets.executor.drain()
            let more = recorder.take()
            if more.isEmpty {
                pace.note(events: events.count, runs: ownership?.count)
                return (events, ownership)
            }
            events += more
        }
    }

    /// What a step was, what came of it, and why that is not right.
    private struct Account {
        var actor: String
        var deed: String
        var range: PageRange?
        var outcome = "ok"
        var heldBy: [Blocker] = []
        var failure: String?
        var isAboutOwnership = false

        init(_ actor: String, _ deed: String, _ range: PageRange? = nil) {
            self.actor = actor
            self.deed = deed
            self.range = range
        }

        init(_ actor: String, _ deed: String, at address: UInt64, _ byteCount: Int) {
            let range = try? PageRange(
                touching: GuestPhysicalAddress(address),
                byteCount: UInt64(max(1, byteCount))
            )
            self.init(actor, deed, range)
        }

        /// Notes that the step could not be carried out at all.
        mutating func fail(_ why: String) { (outcome, failure) = ("failed", why) }

        /// Notes where another rule than the expected one decided last.
        mutating func expect(rule expected: String?, among events: [ControllerEvent]) {
            guard let expected, failure == nil else { return }
            let actual = events.compactMap(\.decidedBy).last
            if expected != actual { failure = "expected the rule \(expected) to decide, not \(actual ?? "none")" }
        }

        mutating func expect(_ expected: String, _ actual: String) {
            if expected != actual { failure = "expected \(expected), not \(actual)" }
        }
    }

    private mutating func play(_ step: ScenarioStep) -> StepReport {
        (broken, suspects) = (nil, [])
        releaseDue(at: facets.executor.now)
        facets.executor.drain()
        let began = facets.executor.now
        let before = step.action.range.map { describeOwnership($0) }
        var account = takeWork(of: step.action) ?? perform(step.action)
        let (recorded, ownership) = settle()
        let ended = facets.executor.now
        let events = recorded.map(\.event)
        for event in events {
            if case .answered(_, let outcome) = event.kind, case .pending(let ticket, _) = outcome.status {
                newest = ticket
            }
        }
        if let rule = events.compactMap(\.decidedBy).last { account.outcome += " [\(rule)]" }
        account.expect(rule: step.rule, among: events)
        broken = broken ?? audit.take(recorded, then: ownership)
        for suspect in suspects { broken = broken ?? audit.take(reached: suspect.range, by: suspect.party) }
        if let broken { account.failure = "\(broken)" }
        var change: String?
        if account.isAboutOwnership, let range = account.range, let before {
            let after = describeOwnership(range)
            change = before == after ? after : "\(before) → \(after)"
        }
        // The guest is told no more than that; whoever reads the timeline wants to know why.
        if case .guestRequests = step.action, account.outcome == GuestReply.refused.word,
            let refusal = events.compactMap(\.refusal).last
        {
            account.outcome += ": \(refusal)"
        }
        for advance in events.compactMap(\.advance) { account.outcome += "; hand-over \(advance)" }
        if let settled = events.compactMap(\.settlement).last {
            account.outcome += "; hand-over \(settled)"
        }
        return StepReport(
            step: step,
            actor: account.actor,
            deed: account.deed,
            range: account.range,
            change: change,
            outcome: account.outcome,
            heldBy: account.heldBy,
            began: began,
            ended: ended,
            failure: account.failure,
            broken: broken,
            events: events
        )
    }

    /// Counts the pages that a step has changed; where they are too many, the step is not carried out.
    private mutating func takeWork(of action: ScenarioAction) -> Account? {
        guard let range = action.changedRange else { return nil }
        var pages = controller.layout.memory(in: range).reduce(0) { $0 + $1.count }
        if case .guestRequests = action { pages = min(pages, limits.pagesPerGuestRequest) }
        guard pages > pagesLeft else {
            pagesLeft -= pages
            return nil
        }
        var account = Account("play", "stops", range)
        let most = ByteCount.text(ofPages: ScenarioRunner.maximumPages)
        account.fail("by this step, more than \(most) are to be changed, discarded or measured in one play")
        return account
    }

    /// Ends the leases whose time has come.
    private mutating func releaseDue(at time: Timestamp) {
        let told = recorder.count
        leases.releaseDue(at: time)
        noteRelease(after: told)
    }

    /// Notes what the release of a lease did before it returned.
    private mutating func noteRelease(after told: Int) {
        broken = broken ?? audit.take(released: recorder.own(after: told))
    }

    /// Notes an access that went through.
    private mutating func noteReach(_ range: PageRange?, by party: Party) {
        if let range, audit.denies(range, to: party) { suspects.append((range, party)) }
    }

    private func describeOwnership(_ range: PageRange) -> String {
        guard controller.layout.memory(in: range).contains(where: { _ in true }) else { return "no memory" }
        return controller.ownership(ofAll: range).map { "\($0)" } ?? "mixed"
    }

    private mutating func perform(_ action: ScenarioAction) -> Account {
        switch action {
        case .guestWrites(let processor, let bytes, let address, let access):
            return guest(
                processor,
                .write(bytes, to: GuestPhysicalAddress(address)),
                access,
                nil,
                Account("guest/vcpu\(processor)", "writes \(bytes.count) B", at: address, bytes.count)
            )
        case .guestReads(let processor, let expectation, let address, let access):
            return guest(
                processor,
                .read(count: expectation.count, from: GuestPhysicalAddress(address)),
                access,
                expectation,
                Account("guest/vcpu\(processor)", "reads \(expectation.count) B", at: address, expectation.count)
            )
        case .guestRequests(let processor, let target, let address, let byteCount, let reply, let device):
            return guestRequest(processor, target, address, byteCount, reply, device)
        case .guestAnswersRemovals(let answer):
            let account = Account("guest/vcpu0", "answers removals: \(answer.rawValue)")
            return guest(0, .answerRemovals(answer), .reached, nil, account)
        case .hostWrites(let bytes, let address, let access):
            return hostWrite(bytes, address, access)
        case .hostReads(let expectation, let address, let access):
            return hostRead(expectation, address, access)
        case .hostProbes(let address, let access):
            return probe(address, access)
        case .hostDiscards(let range, let access):
            return discard(range, access)
        case .hostConverts(let target, let range, let contents, let deadline, let outcome, let device):
            return convert(target, range, contents, deadline, outcome, device)
        case .hostCancels:
            var account = Account("host", "withdraws", newest?.range)
            account.isAboutOwnership = true
            account.outcome = newest?.cancel() == true ? "withdrawn" : "too late"
            account.expect("withdrawn", account.outcome)
            return account
        case .hostMarks(let name):
            controller.mark(name)
            return Account("host", "marks: \(name)")
        case .deviceLeases(let holder, let kind, let range, let hold, let access):
            return lease(holder, kind, range, hold, access)
        case .deviceWrites(let device, let bytes, let address):
            var account = Account(device, "writes \(bytes.count) B", at: address, bytes.count)
            if let why = leases.write(bytes, to: address, as: device) { account.fail(why) }
            return account
        case .deviceReads(let device, let expectation, let address):
            var account = Account(device, "reads \(expectation.count) B", at: address, expectation.count)
            switch leases.read(expectation.count, from: address, as: device) {
            case .bytes(let bytes): compare(bytes, expectation, &account)
            case .failed(let why): account.fail(why)
            }
            return account
        case .deviceReleases(let device):
            var account = Account(device, "releases", leases.range(of: device))
            account.isAboutOwnership = true
            let told = recorder.count
            if !leases.release(device) { account.fail("\(device) holds nothing") }
            noteRelease(after: told)
            return account
        case .neighbourMaps(let name, let range, let access):
            return neighbour(Account(name, "maps", range)) { player, account in
                (account.outcome, account.failure) = player.map(range, name, access)
            }
        case .neighbourWrites(let name, let bytes, let address):
            return neighbour(Account(name, "writes \(bytes.count) B", at: address, bytes.count)) { player, account in
                (account.outcome, account.failure) = player.write(bytes, address, name)
            }
        case .neighbourReads(let name, let expectation, let address):
            let count = expectation.count
            return neighbour(Account(name, "reads \(count) B", at: address, count)) { player, account in
                switch player.read(count, address, name) {
                case .success(let bytes): compare(bytes, expectation, &account)
                case .failure(let error): account.fail(error.summary)
                }
            }
        case .neighbourReleases(let name):
            return neighbour(Account(name, "releases")) { player, account in
                (account.outcome, account.failure) = player.release(name)
            }
        case .backed(let isBacked, let range):
            return measure(range, isBacked)
        case .wait(let duration):
            pass(duration)
            return Account("time", "passes: \(duration.text)")
        case .check(let ownership, let range):
            var account = Account("check", "is \(ownership)", range)
            account.isAboutOwnership = true
            account.expect("\(ownership)", describeOwnership(range))
            account.outcome = account.failure == nil ? "yes" : "no"
            return account
        case .kernelCalls(let operation, let address, let expected):
            let byteCount = Int(clamping: operation.count.multipliedReportingOverflow(by: PageSize.base.bytes).0)
            return kernel("kernel", operation.kind.text, address, byteCount) { $0.call(operation, address, expected) }
        case .processBegins(let name, let operation, let address, let steps):
            return kernel(name, "begins: \(operation.kind.text)", address, 1) {
                $0.begin(name, operation, address, steps)
            }
        case .processAdvances(let name, let steps, let wait):
            return kernel(name, "makes \(steps) steps", nil, 1) { $0.advance(name, steps, wait) }
        case .processFinishes(let name, let expected):
            return kernel(name, "goes on", nil, 1) { $0.finish(name, expected) }
        case .kernelState(let address, let mappability, let isRegistered, let references, let mappings):
            return kernel("check", "is \(mappability)", address, 1) {
                $0.state(address, mappability, isRegistered, references, mappings)
            }
        case .kernelSaw(let events):
            return kernel("check", "what should never happen", nil, 1) { $0.saw(events) }
        case .settled(let settlement, let limit):
            awaitNewest(limit)
            var account = Account("check", "hand-over ended", newest?.range)
            account.isAboutOwnership = true
            account.outcome = newest.map { $0.result?.word ?? "pending" } ?? "none was pending"
            account.expect(settlement.rawValue, account.outcome)
            return account
        }
    }

    private mutating func kernel(
        _ actor: String,
        _ deed: String,
        _ address: UInt64?,
        _ byteCount: Int,
        _ body: (KernelPlayer) -> KernelPlayer.Verdict
    ) -> Account {
        var account = address.map { Account(actor, deed, at: $0, byteCount) } ?? Account(actor, deed)
        // A reference to a page holds all of its folio, which may be a large one.
        if let range = account.range {
            let unit = PageSize.large.pages
            let start = range.start.rawValue / unit * unit
            let end = (range.end + unit - 1) / unit * unit
            unseen.append(PageRange(uncheckedStart: start, count: end - start))
        }
        guard let player = facets.kernel else {
            account.fail("the back end has no kernel whose protocol can be driven")
            return account
        }
        (account.outcome, account.failure) = body(player)
        return account
    }

    private func neighbour(_ given: Account, _ body: (NeighbourPlayer, inout Account) -> Void) -> Account {
        var account = given
        guard let player = facets.neighbours else {
            account.fail("the back end lets no other process at the guest's memory")
            return account
        }
        body(player, &account)
        return account
    }

    private func measure(_ range: PageRange, _ isBacked: Bool) -> Account {
        var account = Account("check", isBacked ? "has memory" : "has no memory", range)
        guard let meter = facets.memoryMeter else {
            account.fail("the back end does not tell how much memory is behind pages")
            return account
        }
        do {
            let bytes = try meter.backedBytes(of: range)
            account.outcome = "\(ByteCount(bytes)) behind it"
            if isBacked != (bytes > 0) { account.failure = "there are \(ByteCount(bytes)) behind the pages" }
        } catch {
            account.fail(error.summary)
        }
        return account
    }

    /// Lets time pass until the newest hand-over has ended, at most so much.
    ///
    /// - Complexity: O(log *t*) looks in the time that it takes: each waits for a part of what has passed already.
    private func awaitNewest(_ limit: Duration) {
        let executor = facets.executor
        let start = executor.now
        let end = start.advanced(by: limit)
        while let newest, newest.result == nil, executor.now < end {
            executor.pass(min(max(.milliseconds(5), executor.now.since(start) / 64), end.since(executor.now)))
            executor.drain()
        }
    }

    // MARK: The guest

    private mutating func guest(
        _ processor: Int,
        _ operation: GuestOperation,
        _ access: ScenarioAction.Access,
        _ expectation: ScenarioAction.Expectation?,
        _ given: Account
    ) -> Account {
        var account = given
        guard let agent = facets.guestAgent else {
            account.fail("the back end has no scripted guest")
            return account
        }
        do {
            switch try agent.perform(operation, on: processor, answeringTo: controller) {
            case .written:
                noteReach(account.range, by: .guest)
                account.expect(access.rawValue, "reached")
            case .understood: account.expect(access.rawValue, "reached")
            case .bytes(let bytes):
                noteReach(account.range, by: .guest)
                account.expect(access.rawValue, "reached")
                if let expectation { compare(bytes, expectation, &account) }
            case .fault(let address):
                account.outcome = "stopped at \(address)"
                account.expect(access.rawValue, "stopped")
            case .reply(let reply): account.failure = "an answer that was not asked for: \(reply)"
            }
        } catch {
            account.outcome = "failed: \(error.summary)"
            account.expect(access.rawValue, "failed")
        }
        return account
    }

    private func guestRequest(
        _ processor: Int,
        _ target: Ownership,
        _ address: UInt64,
        _ byteCount: UInt64,
        _ expected: ScenarioAction.Reply,
        _ device: String?
    ) -> Account {
        let range = try? PageRange(address: GuestPhysicalAddress(address), byteCount: byteCount)
        // Numbers that are no range have no column of their own.
        let numbers = range == nil ? " of \(ByteCount(byteCount)) at \(GuestPhysicalAddress(address))" : ""
        var account = Account("guest/vcpu\(processor)", "asks for \(target)\(numbers)", range)
        account.isAboutOwnership = true
        guard let agent = facets.guestAgent else {
            account.fail("the back end has no scripted guest")
            return account
        }
        do {
            let operation = GuestOperation.request(address: address, byteCount: byteCount, target: target)
            guard case .reply(let reply) = try agent.perform(operation, on: processor, answeringTo: controller) else {
                account.fail("the guest gave no answer")
                return account
            }
            account.outcome = reply.text
            account.expect(expected.rawValue, reply.word)
        } catch {
            account.fail(error.summary)
        }
        if let range { account.heldBy = controller.blockers(of: range) }
        if account.outcome.hasPrefix("done") { account.heldBy = [] }
        check(device, &account)
        return account
    }

    // MARK: The host

    private var monitor: Holder { Holder(device: "host") }

    private func hostWrite(_ bytes: [UInt8], _ address: UInt64, _ access: ScenarioAction.Access) -> Account {
        var account = Account("host", "writes \(bytes.count) B", at: address, bytes.count)
        do {
            try controller.write(bytes.span, to: GuestPhysicalAddress(address), for: monitor)
            account.expect(access.rawValue, "reached")
        } catch {
            refuse(error, access, &account)
        }
        return account
    }

    private func hostRead(
        _ expectation: ScenarioAction.Expectation,
        _ address: UInt64,
        _ access: ScenarioAction.Access
    ) -> Account {
        var account = Account("host", "reads \(expectation.count) B", at: address, expectation.count)
        do {
            var bytes = [UInt8](repeating: 0, count: expectation.count)
            var span = bytes.mutableSpan
            try controller.read(&span, from: GuestPhysicalAddress(address), for: monitor)
            account.expect(access.rawValue, "reached")
            compare(bytes, expectation, &account)
        } catch {
            refuse(error, access, &account)
        }
        return account
    }

    private mutating func probe(_ address: UInt64, _ access: ScenarioAction.Access) -> Account {
        var account = Account("host", "reaches past its ledger", at: address, 1)
        do {
            try facets.probe(GuestPhysicalAddress(address))
            noteReach(account.range, by: .host)
            account.outcome = "reached"
            account.expect(access.rawValue, "reached")
        } catch {
            guard let fault = error.fault else {
                account.outcome = "failed: \(error.summary)"
                account.expect(access.rawValue, "failed")
                return account
            }
            account.outcome = "stopped by the \(fault.enforcement.rawValue): \(fault.evidence)"
            account.expect(access.rawValue, "stopped")
        }
        return account
    }

    private func discard(_ range: PageRange, _ access: ScenarioAction.Access) -> Account {
        var account = Account("host", "discards the contents", range)
        account.isAboutOwnership = true
        do {
            try controller.discard(range)
            account.expect(access.rawValue, "reached")
        } catch {
            account.outcome = "failed: \(error.summary)"
            account.expect(access.rawValue, "failed")
        }
        return account
    }

    /// Notes why the host did not get at pages: its ledger refuses it, or the back end cannot do it.
    private func refuse(_ error: AccessError, _ access: ScenarioAction.Access, _ account: inout Account) {
        var word = "refused"
        if case .backend(let cause) = error, cause.fault == nil { word = "failed" }
        account.outcome = "\(word): \(error)"
        account.expect(access.rawValue, word)
    }

    private func convert(
        _ target: Ownership,
        _ range: PageRange,
        _ contents: String?,
        _ deadline: Duration?,
        _ expected: ScenarioAction.Outcome,
        _ device: String?
    ) -> Account {
        var account = Account("host", "asks for \(target)", range)
        account.isAboutOwnership = true
        let request = ConversionRequest(
            range,
            to: target,
            by: .host("host"),
            whenHeld: .handOver(deadline: deadline),
            contents: contents.flatMap(ConversionRequest.Contents.init(rawValue:)) ?? .any
        )
        do {
            let outcome = try controller.convert(request)
            account.outcome = outcome.text
            account.heldBy = outcome.blockers
            account.expect(expected.rawValue, outcome.status.word)
        } catch {
            account.outcome = "refused: \(error.summary)"
            account.expect(expected.rawValue, "refused")
        }
        check(device, &account)
        return account
    }

    /// Lets time pass, and devices let go when theirs has come.
    private mutating func pass(_ duration: Duration) {
        let executor = facets.executor
        let end = executor.now.advanced(by: duration)
        while let due = leases.nextEnd, due <= end {
            executor.pass(due.since(executor.now))
            releaseDue(at: max(due, executor.now))
            executor.drain()
        }
        executor.pass(end.since(executor.now))
    }

    private mutating func lease(
        _ holder: Holder,
        _ kind: LeaseKind,
        _ range: PageRange,
        _ hold: Duration?,
        _ access: ScenarioAction.Access
    ) -> Account {
        var account = Account(holder.device, kind == .mapping ? "maps" : "pins", range)
        do {
            let lease = try controller.lease(range, kind, for: holder)
            account.expect(access.rawValue, "reached")
            leases.keep(lease, until: hold.map { facets.executor.now.advanced(by: $0) })
        } catch {
            refuse(error, access, &account)
        }
        return account
    }

    private func check(_ device: String?, _ account: inout Account) {
        guard let device, !account.heldBy.contains(where: { $0.holder.device == device }) else { return }
        account.failure = "\(device) should be named as a holder"
    }

    private func compare(_ bytes: [UInt8], _ expectation: ScenarioAction.Expectation, _ account: inout Account) {
        account.outcome = bytes.text
        guard case .bytes(let expected) = expectation, expected != bytes else { return }
        account.failure = "expected \(expected.text), not \(bytes.text)"
    }
}

import Custody
import CustodyPolicy
import CustodyTestSupport
import CustodyTrace
import Foundation
import SimulationBackend

/// A story under way: the real thing and the reference beside it.
struct Play {
    struct Mismatch: Error, CustomStringConvertible { let description: String }

    private let story: Story
    private let clock: VirtualExecutor
    private let simulation: SimulationBackend?
    private let backend: FakeBackend
    private let log = EndLog()
    private let recorder = EventRecorder()
    /// The other judge: what the reference predicts, the oracle must find possible. `nil` where a controller went on with
    /// hand-overs of which nothing was told.
    private var audit: PlayAudit?
    private let leases = LeaseTable()
    private var listeners: [(number: Int, listener: RecordingListener)] = [] {
        didSet { watched.listeners.withLock { $0 = listeners.map(\.listener) } }
    }
    private let watched = Watched()
    private var controller: MemoryController
    private var reference: Reference
    private var lastLease = 0
    private var isWithoutBackend = false

    init(_ story: Story) throws {
        self.story = story
        let regions = try Story.regions.map { try PageRange(pages: UInt64($0.lowerBound)..<UInt64($0.upperBound)) }
        let layout = try GuestMemoryLayout(regions: regions)
        switch story.stage {
        case .simulation:
            let simulation = SimulationBackend(
                guest: GuestConfiguration(layout: layout),
                options: SimulationOptions(
                    initial: story.initial,
                    contents: story.zeroes ? .zeroed : .preserved,
                    latency: .zero
                )
            )
            clock = simulation.clock
            backend = FakeBackend(inFrontOf: simulation)
            self.simulation = simulation
        case .fake:
            clock = VirtualExecutor()
            simulation = nil
            backend = FakeBackend(layout, initially: story.initial, reclaim: .offeredByGuest, executor: clock)
        }
        controller = MemoryController(
            backend: backend,
            policy: Play.policy(story),
            limits: Play.limits(story),
            observer: ObserverGroup([log, recorder])
        )
        audit = PlayAudit(of: backend, limits: Play.limits(story))
        reference = Reference(story)
        // While a page is the guest's alone, nobody of the host reaches it, at no moment.
        backend.atEachCall { [watched] call in
            guard case .commit(let change) = call, change.to == .private else { return }
            for listener in watched.listeners.withLock({ $0 }) where !listener.live.isUniform(change.range, false) {
                watched.wrong.withLock { $0.append("\(listener.name) reaches pages of \(change) at its commit") }
            }
        }
    }

    private static func policy(_ story: Story) -> any Policy {
        var rules: [any Policy] = [
            LockDown(after: "launched"), SharedBudget(pages: UInt64(story.budget)),
            Terms.retry(Backoff(first: .milliseconds(1), longest: .milliseconds(2), attempts: 3)),
        ]
        if let time = story.timeBox { rules.append(Terms.timeBox(.milliseconds(time))) }
        return AllOf(rules)
    }

    private static func limits(_ story: Story) -> ControllerLimits {
        ControllerLimits(
            pendingHandovers: Story.pendingForGuest,
            pendingInTotal: Story.pendingInTotal,
            holes: story.passesHoles ? .ignore : .reject
        )
    }

    /// Takes a step on both sides, and compares them.
    mutating func take(_ step: Step) throws {
        try perform(step)
        clock.drain()
        reference.drain()
        try compare()
        let ownership = controller.runs(in: controller.layout.bounds)
        if let broken = audit?.take(recorder.take(), then: ownership) { throw Mismatch(description: "\(broken)") }
    }

    private func expect(_ condition: Bool, _ text: @autoclosure () -> String) throws(Mismatch) {
        if !condition { throw Mismatch(description: text()) }
    }

    private func range(_ pages: Range<Int>) throws -> PageRange {
        try PageRange(pages: UInt64(pages.lowerBound)..<UInt64(pages.upperBound))
    }

    private mutating func perform(_ step: Step) throws {
        switch step {
        case .convert(let pages, let target, let requester, let patience, let isPrefix):
            try convert(pages, target, requester, patience, isPrefix)
        case .lease(let pages, let kind, let yields): try lease(pages, kind, yields)
        case .release(let number):
            guard !reference.leases.isEmpty else { return }
            let id = reference.leases[number % reference.leases.count].id
            let calls = backend.calls.count
            leases.release(id)
            try expect(backend.calls.count == calls, "the releaser's thread called the back end")
            reference.release(id)
        case .cancel(let number):
            guard !reference.handovers.isEmpty else { return }
            let id = reference.handovers[number % reference.handovers.count].id
            let ticket = controller.pendingTickets.first { $0.id.rawValue == id }
            let isCancelled = ticket?.cancel() == true
            try expect(isCancelled == reference.end(id, "cancelled"), "#\(id) cancelled: \(isCancelled)")
        case .pass(let time):
            clock.pass(.milliseconds(time))
            reference.pass(time)
        case .discard(let pages): try discard(pages)
        case .launch:
            controller.mark("launched")
            reference.isLaunched = true
        case .touch(let page, let party): try touch(page, party)
        case .join(let nth): try join(nth)
        case .leave(let number):
            guard !listeners.isEmpty else { return }
            let number = listeners.remove(at: number % listeners.count).number
            controller.remove(ListenerID(rawValue: UInt64(number)))
            reference.listeners.removeAll { $0.number == number }
        case .refuse(let number, let nth):
            guard !reference.listeners.isEmpty else { return }
            let index = number % reference.listeners.count
            let chosen = reference.listeners[index]
            reference.listeners[index].refusals.insert(chosen.prepares + nth)
            listeners.first { $0.number == chosen.number }?.listener.veto(nth)
        case .failPrepare, .commit, .failUndo, .failDiscard: plan(step)
        case .endLate(let number, let completes):
            let waiting = backend.waiting
            try expect(waiting.map(\.rawValue) == reference.waiting.map(\.number), "the back end waits for \(waiting)")
            guard !waiting.isEmpty else { return }
            let handover = waiting[number % waiting.count]
            if completes {
                backend.complete(handover)
            } else {
                backend.fail(handover, BackendError(.guestFailed, "no"))
            }
            reference.endLate(handover.rawValue, completes: completes)
        case .disconnect:
            backend.disconnect()
            reference.isAway = true
        case .drift(let page, let ownership): try drift(page, ownership)
        case .reconnect(let drops):
            guard reference.isAway else { return }
            backend.reconnect(withoutCarryingOut: drops ? backend.waiting : [])
            reference.reconnect(droppingHandovers: drops)
        case .restart: try restart()
        case .lose:
            backend.lose(BackendError(.lost, "gone"))
            reference.lose()
        }
    }

    private mutating func convert(
        _ pages: Range<Int>,
        _ target: Ownership,
        _ requester: Step.RequesterName,
        _ patience: Step.Patience,
        _ isPrefix: Bool
    ) throws {
        let request = ConversionRequest(
            try range(pages),
            to: target,
            by: requester == .guest ? .guest(processor: 0) : requester == .host ? .host("vmm") : .device("nic"),
            whenHeld: patience.whenHeld,
            extent: isPrefix ? .prefix(maximumRuns: 3, maximumPages: 5) : .all
        )
        let expected = reference.convert(pages, target, requester.party, patience, isPrefix: isPrefix)
        var answer: Reference.Answer
        do {
            let outcome = try controller.convert(request)
            answer = Reference.Answer(
                word: outcome.word,
                stoppedAt: outcome.stoppedAt.map { Int($0.rawValue) },
                changed: Int(outcome.changedPages),
                ticket: outcome.ticket?.id.rawValue
            )
        } catch {
            answer = Reference.Answer(word: error.code.rawValue)
        }
        try expect(answer == expected, "answered \(answer), not \(expected)")
    }

    private mutating func lease(_ pages: Range<Int>, _ kind: LeaseKind, _ yields: Bool) throws {
        let bad = pages.first { !Story.ram.contains($0) || !reference.owner[$0].allows(.host) }
        let hole = pages.first { !Story.ram.contains($0) }
        lastLease += 1
        let id = lastLease
        let range = try range(pages)
        var drain: (@Sendable (DrainRequest) -> Void)?
        if yields { drain = { [leases] _ in leases.release(id) } }
        do throws(AccessError) {
            leases.keep(id, try controller.lease(range, kind, for: Holder(device: "d\(id)"), onDrain: drain))
        } catch {
            let page = hole ?? bad
            let ticket = reference.handovers.first { $0.pages.contains(page ?? -1) }?.id
            let owner = page.flatMap { Story.ram.contains($0) ? reference.owner[$0] : nil }
            let isRight: Bool
            switch error {
            case .hole(let found): isRight = Int(found.rawValue) == hole
            case .backend: isRight = hole == nil && reference.isLost
            case .inTransit(let found, let id):
                isRight = Int(found.rawValue) == page && owner == .inTransit && id != nil && id?.rawValue == ticket
            case .notOwned(let found, let who): isRight = Int(found.rawValue) == page && who == owner
            case .invalid: isRight = false
            }
            return try expect(isRight, "a lease of \(pages) was refused: \(error)")
        }
        try expect(bad == nil && !reference.isLost, "leased \(pages), which the host does not have")
        reference.leases.append(Reference.Lease(id: id, pages: pages, kind: kind, yields: yields))
    }

    private mutating func discard(_ pages: Range<Int>) throws {
        let expected = reference.discard(pages)
        var answer: String?
        let range = try range(pages)
        do { try controller.discard(range) } catch {
            answer = error.code.rawValue
        }
        try expect(answer == expected, "discarded: \(answer ?? "yes"), not \(expected ?? "yes")")
    }

    private mutating func touch(_ page: Int, _ party: Party) throws {
        guard Story.ram.contains(page), reference.drifted[page] == nil, !reference.isLost else { return }
        let owner = reference.owner[page]
        let address = GuestPhysicalAddress(UInt64(page) * 4096 + 17)
        let byte = reference.bytes[page] &+ 7
        if party == .host {
            var bytes: [UInt8] = [0xee]
            do throws(AccessError) {
                var span = bytes.mutableSpan
                try controller.read(&span, from: address, for: Holder(device: "vmm"))
                try controller.write([byte].span, to: address, for: Holder(device: "vmm"))
            } catch {
                return try expect(!owner.allows(.host), "the host was refused a \(owner) page")
            }
            try expect(owner.allows(.host), "the host reached a \(owner) page")
            if story.stage == .simulation {
                try expect(bytes[0] == reference.bytes[page], "the host read \(bytes[0]), not \(reference.bytes[page])")
            }
            reference.bytes[page] = byte
        } else if let simulation, owner != .inTransit {
            let load = GuestOperation.read(count: 1, from: address)
            guard case .bytes(let bytes) = try simulation.perform(load, on: 0, answeringTo: controller) else {
                return try expect(!owner.allows(.guest), "the guest was stopped at a \(owner) page")
            }
            try expect(owner.allows(.guest), "the guest reached a \(owner) page")
            try expect(bytes == [reference.bytes[page]], "the guest read \(bytes), not \(reference.bytes[page])")
            _ = try simulation.perform(.write([byte], to: address), on: 0, answeringTo: controller)
            reference.bytes[page] = byte
        }
    }

    private mutating func join(_ nth: Int?) throws {
        let listener = RecordingListener("l\(reference.lastListener + 1)", bounds: controller.layout.bounds)
        if let nth { listener.veto(nth) }
        let isIn = reference.join(refusing: nth)
        do {
            let id = try controller.add(listener)
            try expect(isIn && Int(id.rawValue) == reference.lastListener, "\(listener.name) joined")
            listeners.append((reference.lastListener, listener))
        } catch let error as ListenerVeto {
            try expect(!isIn, "\(listener.name) did not join: \(error)")
            try expect(listener.live.isUniform(controller.layout.bounds, false), "\(listener.name) kept something")
        }
    }

    private mutating func plan(_ step: Step) {
        let counts = backend.counts
        let error = BackendError(.system, "EIO")
        switch step {
        case .failPrepare(let nth):
            backend.plan { $0.prepare[counts.prepares + nth] = error }
            reference.failingPrepares.insert(counts.prepares + nth)
        case .commit(let nth, let end):
            backend.plan { $0.commit[counts.commits + nth] = end.answer }
            reference.plannedCommits[counts.commits + nth] = end
        case .failUndo(let nth):
            backend.plan { $0.undo[counts.undos + nth] = error }
            reference.failingUndos.insert(counts.undos + nth)
        case .failDiscard(let nth):
            backend.plan { $0.discard[counts.discards + nth] = error }
            reference.failingDiscards.insert(counts.discards + nth)
        default: break
        }
    }

    private mutating func drift(_ page: Int, _ ownership: Ownership) throws {
        guard reference.isAway, !reference.isLost, Story.ram.contains(page) else { return }
        let handover = reference.handovers.first { $0.pages.contains(page) }
        guard handover == nil || handover?.phase == .draining else { return }
        let before = handover?.changes.first { $0.pages.contains(page) }?.from ?? reference.owner[page]
        backend.changeBehindTheBack(try range(page..<(page + 1)), to: ownership)
        // Back where it was, it has been away all the same: its contents may be gone.
        if reference.drifted[page] != nil || before != ownership, story.zeroes { reference.bytes[page] = 0 }
        reference.drifted[page] = before == ownership ? nil : ownership
    }

    private mutating func restart() throws {
        guard !reference.isLost else { return }
        try checkSnapshot()
        let data = try JSONEncoder().encode(controller.snapshot())
        let snapshot = try JSONDecoder().decode(ControllerSnapshot.self, from: data)
        leases.releaseAll()
        listeners = []
        // The old controller goes before the new one comes: what the back end was completing it takes back.
        let aside = FakeBackend(try GuestMemoryLayout(pages: 0..<1), executor: VirtualExecutor())
        backend.plan { $0.undo = [:] }
        controller = MemoryController(backend: aside, policy: AllowAll())
        clock.drain()
        try expect(backend.waiting.isEmpty && backend.openChanges.isEmpty, "a controller that went left something")
        backend.restart()
        controller = MemoryController(
            backend: backend,
            policy: Play.policy(story),
            limits: Play.limits(story),
            observer: ObserverGroup([log, recorder]),
            restoring: snapshot
        )
        _ = recorder.take()
        var ownership = backend.initialOwnership
        for run in controller.runs(in: controller.layout.bounds) { ownership.set(run.range, to: run.state) }
        let isAtRest = controller.pendingTickets.isEmpty
        audit = isAtRest ? PlayAudit(of: backend, limits: Play.limits(story), ownership: ownership) : nil
        reference.restart()
    }

    private func checkSnapshot() throws {
        if let wrong = controller.snapshot().inconsistency { throw Mismatch(description: wrong) }
    }

    // MARK: Comparing

    private func compare() throws {
        var owner = [Ownership?](repeating: nil, count: Story.pageCount)
        for run in controller.runs(in: controller.layout.bounds) {
            for page in run.range.start.rawValue..<run.range.end { owner[Int(page)] = run.state }
        }
        for page in Story.ram where owner[page] != reference.owner[page] {
            throw Mismatch(description: "page \(page) is \(owner[page], default: "-"), not \(reference.owner[page])")
        }
        let tickets = controller.pendingTickets
        let pending = reference.handovers.sorted { $0.id < $1.id }
        try expect(tickets.map(\.id.rawValue) == pending.map(\.id), "pending are \(tickets.map(\.id))")
        for (ticket, handover) in zip(tickets, pending) {
            try expect(ticket.result == nil, "\(ticket.id) is pending and settled")
            try expect(ticket.attempts == handover.attempts, "\(ticket.id) has \(ticket.attempts) attempts")
        }
        let settled = log.settled
        try expect(settled == reference.settled, "settled are \(settled), not \(reference.settled)")
        let held = controller.blockers(of: controller.layout.bounds).map(\.holder.device).sorted()
        try expect(held == reference.leases.map { "d\($0.id)" }.sorted(), "leases are \(held)")
        let tally = controller.tally
        let counted = [tally.shared, tally.private, tally.inTransit, tally.host, tally.exposed].map { Int($0) }
        let expected =
            [Ownership.shared, .private, .inTransit, .host].map { owner in
                Story.ram.count { reference.owner[$0] == owner }
            } + [reference.exposed]
        try expect(counted == expected, "the tally is \(counted), not \(expected)")
        for (number, listener) in listeners {
            let expected = reference.listeners.first { $0.number == number }
            let live = listener.live
            for page in Story.ram {
                let isReached = live[PageNumber(UInt64(page))] == true
                let isExpected = expected?.reaches[page] ?? false
                try expect(isReached == isExpected, "\(listener.name) reaches \(page): \(isReached)")
            }
            try expect(listener.violations == [], "\(listener.violations)")
        }
        try expect(
            log.dismissed.count == listeners.count - reference.listeners.count + gone,
            "dismissed: \(log.dismissed)"
        )
        try expect(backend.violations == [], "\(backend.violations)")
        try expect(watched.wrong.withLock { $0 } == [], "\(watched.wrong.withLock { $0 })")
        if !reference.isLost { try compareBackend() }
    }

    /// Listeners that were dismissed and are not looked at any more.
    private var gone: Int { log.dismissed.count { name in !listeners.contains { $0.listener.name == name } } }

    /// Both sides agree about every page that is not on its way, and nothing is open that nobody waits for.
    private func compareBackend() throws {
        let ownership = backend.ownership
        for page in Story.ram where reference.owner[page] != .inTransit {
            let expected = reference.drifted[page] ?? reference.owner[page]
            let found = ownership[PageNumber(UInt64(page))]
            try expect(found == expected, "the back end has page \(page) \(found, default: "-"), not \(expected)")
        }
        let open = backend.openChanges.reduce(0) { $0 + Int($1.range.count) }
        let awaited = reference.handovers.reduce(0) { sum, handover in
            if case .awaiting = handover.phase { sum + handover.pages.count } else { sum }
        }
        try expect(open == awaited, "\(backend.openChanges) are open")
    }

    /// Lets everybody go: nothing is left of anything.
    mutating func end() throws {
        try take(.reconnect(droppingHandovers: false))
        for index in (0..<reference.leases.count).reversed() { try take(.release(index)) }
        while !reference.waiting.isEmpty, !reference.isLost { try take(.endLate(0, completes: true)) }
        try take(.pass(milliseconds: 100))
        while !reference.waiting.isEmpty, !reference.isLost { try take(.endLate(0, completes: true)) }
        try checkSnapshot()
        for page in Story.ram {
            try take(.touch(page, by: .host))
            try take(.touch(page, by: .guest))
        }
    }
}

extension Story {
    /// Plays the story.
    ///
    /// - Throws: ``Play/Mismatch`` at the first step after which the two sides do not agree.
    func play() throws {
        if let failure { throw Play.Mismatch(description: failure) }
    }

    /// Where the two sides do not agree, or `nil`.
    var failure: String? {
        var place = "at the beginning"
        do {
            var play = try Play(self)
            for (index, step) in steps.enumerated() {
                place = "step \(index), \(step)"
                try play.take(step)
            }
            place = "at the end"
            try play.end()
            return nil
        } catch {
            return "\(place): \(error)"
        }
    }
}

/// The listeners that must not reach what is being taken from them, and those that did.
private final class Watched: Sendable {
    let listeners = Locked<[RecordingListener]>([])
    let wrong = Locked<[String]>([])
}

/// How hand-overs ended, in order, and which listeners were sent away.
private final class EndLog: ControllerObserver {
    private let log = Locked<(settled: [String], dismissed: [String])>(([], []))

    func observe(_ event: ControllerEvent) {
        switch event.kind {
        case .settled(let ticket, let result):
            log.withLock { $0.settled.append("\(ticket.id) \(result.word)") }
        case .dismissed(_, let name, _): log.withLock { $0.dismissed.append(name) }
        default: break
        }
    }

    var settled: [String] { log.withLock { $0.settled } }
    var dismissed: [String] { log.withLock { $0.dismissed } }
}

/// The leases of a play, by number: holders that are asked to let go find theirs here.
private final class LeaseTable: Sendable {
    private let table = Locked<[Int: LeaseBox]>([:])

    func keep(_ id: Int, _ lease: consuming HostLease) {
        let box = LeaseBox(lease)
        table.withLock { $0[id] = box }
    }

    func release(_ id: Int) { table.withLock { $0.removeValue(forKey: id) }?.release() }

    func releaseAll() {
        for box in table.withLock({ table in
            defer { table = [:] }
            return Array(table.values)
        }) { box.release() }
    }
}

extension Step.Patience {
    fileprivate var whenHeld: ConversionRequest.WhenHeld {
        switch self {
        case .none: .report
        case .endless: .handOver(deadline: nil)
        case .milliseconds(let time): .handOver(deadline: .milliseconds(time))
        }
    }
}

extension Step.Commit {
    fileprivate var answer: FakeBackend.Answer {
        switch self {
        case .fail: .fail(BackendError(.system, "EIO"))
        case .block: .block([])
        case .pend: .pend
        case .pendAndComplete: .pendAndComplete
        case .pendAndFail: .pendAndFail(BackendError(.guestFailed, "no"))
        }
    }
}

import Custody
import CustodyTestSupport
import SimulationBackend
import Synchronization

@testable import CustodyPolicy

/// A controller over a back end that keeps book, in virtual time, with everything recorded.
final class ControllerFixture: Sendable {
    let clock = VirtualExecutor()
    let backend: FakeBackend
    let policy: CountingPolicy
    let events: EventLog
    let controller: MemoryController

    init(
        pages: Range<UInt64> = 0..<64,
        initially ownership: Ownership = .shared,
        reclaim: Capabilities.Reclaim = .askingGuest,
        policy: any Policy = AllowAll(),
        limits: ControllerLimits = ControllerLimits(),
        observesAccesses: Bool = true
    ) throws {
        events = EventLog(observesAccesses: observesAccesses)
        backend = FakeBackend(
            try GuestMemoryLayout(pages: pages),
            initially: ownership,
            reclaim: reclaim,
            executor: clock
        )
        self.policy = CountingPolicy(policy)
        controller = MemoryController(backend: backend, policy: self.policy, limits: limits, observer: events)
    }

    /// Asks for a conversion by page numbers.
    @discardableResult
    func convert(
        _ pages: Range<UInt64>,
        to target: Ownership,
        by requester: Requester = .host("vmm"),
        whenHeld: ConversionRequest.WhenHeld = .handOver(deadline: nil),
        extent: ConversionRequest.Extent = .all
    ) throws -> ConversionOutcome {
        let range = try PageRange(pages: pages)
        return try controller.convert(
            ConversionRequest(range, to: target, by: requester, whenHeld: whenHeld, extent: extent)
        )
    }

    /// The code with which a conversion is refused, or `nil` where it is not.
    func refusal(
        _ pages: Range<UInt64>,
        to target: Ownership,
        by requester: Requester = .host("vmm"),
        extent: ConversionRequest.Extent = .all
    ) throws -> ConversionError.Code? {
        do {
            _ = try convert(pages, to: target, by: requester, extent: extent)
            return nil
        } catch let error as ConversionError { return error.code }
    }

    /// The ticket of a hand-over of pages that a pin holds up, and the pin.
    func pending(
        _ pages: Range<UInt64>,
        pinned: Range<UInt64>,
        deadline: Duration? = nil,
        by requester: Requester = .host("vmm")
    ) throws -> PendingHandover {
        let lease = try self.lease(pinned)
        let outcome = try convert(pages, to: .private, by: requester, whenHeld: .handOver(deadline: deadline))
        guard let ticket = outcome.ticket else { throw BackendError(.system, "not pending but \(outcome)") }
        return PendingHandover(ticket: ticket, lease: lease)
    }

    struct PendingHandover: ~Copyable {
        let ticket: Ticket
        private var lease: HostLease?

        init(ticket: Ticket, lease: consuming HostLease) {
            self.ticket = ticket
            self.lease = consume lease
        }

        mutating func release() { lease = nil }
    }

    func lease(_ pages: Range<UInt64>, _ kind: LeaseKind = .pin, _ device: String = "nic") throws -> HostLease {
        try controller.lease(PageRange(pages: pages), kind, for: Holder(device: device))
    }

    /// Why the host may not have pages, or `nil` where it may.
    func accessError(_ pages: Range<UInt64>, _ kind: LeaseKind = .pin) -> AccessError? {
        do {
            try lease(pages, kind).release()
            return nil
        } catch { return error as? AccessError }
    }

    /// The ownership of every page, as one letter each: `S`, `P`, `H` and `-` for in transit.
    var map: String {
        controller.runs(in: controller.layout.bounds).map { run in
            let letter =
                switch run.state {
                case .shared: "S"
                case .private: "P"
                case .host: "H"
                case .inTransit: "-"
                }
            return String(repeating: letter, count: Int(run.range.count))
        }.joined()
    }

    /// Whether nothing is under way anywhere and both sides agree about every page.
    var isQuiet: Bool {
        controller.pendingTickets.isEmpty && backend.openChanges.isEmpty && backend.waiting.isEmpty
            && backend.violations.isEmpty && controller.state.withLock { $0.early.isEmpty && $0.claims.isEmpty }
            && Array(backend.ownership.runs) == controller.runs(in: controller.layout.bounds)
    }
}

/// A policy that counts the requests that it is asked about.
final class CountingPolicy: Policy {
    private let policy: any Policy
    private let count = Atomic<Int>(0)

    init(_ policy: any Policy) { self.policy = policy }

    var asked: Int { count.load(ordering: .sequentiallyConsistent) }

    func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision {
        if !view.isContinuation { count.add(1, ordering: .sequentiallyConsistent) }
        return policy.decide(request, in: view, remembering: &memory)
    }

    func charge(_ request: ConversionRequest, in view: PolicyView, remembering memory: inout PolicyMemory) {
        policy.charge(request, in: view, remembering: &memory)
    }
}

/// A policy that always says the same.
struct FixedPolicy: Policy {
    let decision: PolicyDecision

    func decide(
        _ request: ConversionRequest,
        in view: PolicyView,
        remembering memory: inout PolicyMemory
    ) -> PolicyDecision { decision }
}

/// All that a controller did.
final class EventLog: ControllerObserver {
    private let log = Locked<[ControllerEvent]>([])
    let observesAccesses: Bool

    init(observesAccesses: Bool = true) { self.observesAccesses = observesAccesses }

    func observe(_ event: ControllerEvent) { log.withLock { $0.append(event) } }

    var events: [ControllerEvent] { log.withLock { $0 } }

    /// The first word of each event.
    var words: [String] { events.map { "\($0.kind)".prefix { $0 != " " && $0 != ":" }.description } }

    var decisions: [PolicyDecision] {
        events.compactMap { event in
            guard case .decided(_, let decision) = event.kind else { return nil }
            return decision
        }
    }

    /// The names of the listeners that were sent away.
    var dismissed: [String] {
        events.compactMap { event in
            guard case .dismissed(_, let name, _) = event.kind else { return nil }
            return name
        }
    }

    var settlements: [(id: TicketID, result: TicketResult)] {
        events.compactMap { event in
            guard case .settled(let ticket, let result) = event.kind else { return nil }
            return (ticket.id, result)
        }
    }
}

import Custody
import CustodyPolicy
import CustodyTestSupport
import Synchronization
import Testing

/// What must be on time is on time while everything that may block is blocked, on real threads. A gate that is shut says
/// that it is; no clock does.
@Suite(.timeLimit(.minutes(60))) struct TimingTests {
    /// Keeps threads waiting until it is opened.
    private final class Gate: Sendable {
        private let state = Monitor((isOpen: false, waiting: 0))

        func pass() {
            state.update { $0.waiting += 1 }
            state.wait { $0.isOpen ? () : nil }
        }

        var isShut: Bool { state.update { !$0.isOpen } }

        func open() { state.update { $0.isOpen = true } }

        /// Sleeps until so many threads are waiting.
        func isReached(by count: Int = 1) -> Bool {
            state.wait(for: .seconds(120)) { $0.waiting >= count ? true : nil } ?? false
        }
    }

    private static let soon = Duration.milliseconds(1)

    private let executor: ThreadExecutor
    private let backend: FakeBackend

    init() throws {
        executor = try ThreadExecutor()
        backend = FakeBackend(try GuestMemoryLayout(pages: 0..<64), executor: executor)
    }

    private func range(_ pages: Range<UInt64>) throws -> PageRange { try PageRange(pages: pages) }

    private func controller(
        _ policy: any Policy = AllowAll(),
        observer: (any ControllerObserver)? = nil
    ) -> MemoryController {
        MemoryController(backend: backend, policy: policy, observer: observer)
    }

    private func ticket(
        _ controller: MemoryController,
        _ pages: Range<UInt64>,
        deadline: Duration? = nil
    ) throws -> Ticket {
        let request = ConversionRequest(
            try range(pages),
            to: .private,
            by: .host("vmm"),
            whenHeld: .handOver(deadline: deadline)
        )
        return try #require(try controller.convert(request).ticket)
    }

    private func pin(_ controller: MemoryController, _ pages: Range<UInt64>) throws -> HostLease {
        try controller.lease(range(pages), .pin, for: Holder(device: "nic"))
    }

    /// Has the executor's work in order wait in a commit of page 0, until the gate opens.
    private func block(_ controller: MemoryController, _ gate: Gate) throws -> Ticket {
        backend.atEachCall { call in
            if case .commit(let change) = call, change.range.start.rawValue == 0 { gate.pass() }
        }
        let pin = try pin(controller, 0..<1)
        let ticket = try ticket(controller, 0..<1)
        pin.release()
        try #require(gate.isReached())
        return ticket
    }

    private func word(_ ticket: Ticket) -> String? { ticket.wait(for: .seconds(120))?.word }

    @Test func aDeadlineDoesNotWaitForAnothersCommit() throws {
        let controller = controller()
        let gate = Gate()
        let slow = try block(controller, gate)
        let pin = try pin(controller, 8..<9)
        let other = try ticket(controller, 8..<12, deadline: TimingTests.soon)
        #expect(word(other) == "expired")
        #expect(controller.ownership(of: PageNumber(8)) == .shared, "its pages are in the ownership before")
        #expect(slow.result == nil)
        gate.open()
        #expect(word(slow) == "completed")
        pin.release()
        executor.drain()
        #expect(executor.timerCount == 0 && backend.violations.isEmpty)
    }

    /// What the back end completes by itself is withdrawn there first, and not behind the commit either.
    @Test func aDeadlineOfWhatTheBackEndHoldsDoesNotWaitForAnothersCommit() throws {
        let controller = controller()
        backend.plan { $0.commit[1] = .pend }
        let other = try ticket(controller, 8..<12, deadline: .milliseconds(300))
        let gate = Gate()
        let slow = try block(controller, gate)
        #expect(word(other) == "expired")
        #expect(controller.ownership(of: PageNumber(8)) == .shared && backend.waiting.isEmpty)
        #expect(slow.result == nil)
        gate.open()
        #expect(word(slow) == "completed")
        executor.drain()
        #expect(executor.timerCount == 0 && backend.violations.isEmpty && backend.openChanges.isEmpty)
    }

    /// The withdrawal may be slow, too: other deadlines do not wait for it, and the ticket ends when its pages are back.
    @Test func aDeadlineDoesNotWaitForAnothersWithdrawal() throws {
        let controller = controller()
        let gate = Gate()
        backend.atEachCall { call in if case .withdraw = call { gate.pass() } }
        backend.plan { $0.commit[1] = .pend }
        let slow = try ticket(controller, 0..<1, deadline: TimingTests.soon)
        try #require(gate.isReached())
        let pin = try pin(controller, 8..<9)
        let other = try ticket(controller, 8..<12, deadline: TimingTests.soon)
        #expect(word(other) == "expired")
        #expect(slow.result == nil && controller.ownership(of: PageNumber(0)) == .inTransit)
        #expect(!slow.cancel(), "it is ending already")
        gate.open()
        #expect(word(slow) == "expired")
        #expect(controller.ownership(of: PageNumber(0)) == .shared)
        pin.release()
        executor.drain()
        #expect(backend.violations.isEmpty && backend.openChanges.isEmpty)
    }

    @Test func aDeadlineDoesNotWaitForWhoeverIsToldOfIt() throws {
        let gate = Gate()
        // What has happened by then is told to the observer on the thread that asks for something, too.
        let requester = Thread.number
        let pass: @Sendable () -> Void = { if Thread.number != requester { gate.pass() } }
        let observer = SlowObserver { event in if case .settled = event.kind { pass() } }
        let controller = controller(observer: observer)
        let pins = try pin(controller, 0..<8)
        let tickets = try (0..<8).map { try ticket(controller, $0..<($0 + 1), deadline: TimingTests.soon) }
        for ticket in tickets {
            ticket.whenEnded { _ in pass() }
            #expect(word(ticket) == "expired")
        }
        gate.open()
        pins.release()
        executor.drain()
        let numbers = observer.numbers
        #expect(numbers.sorted() == Array(1...UInt64(numbers.count)), "each step has its number, and none is left out")
    }

    @Test func aSlowHolderDoesNotHoldUpOthers() throws {
        let controller = controller()
        let gate = Gate()
        let calls = Atomic<Int>(0)
        let slow = try controller.lease(range(0..<1), .pin, for: Holder(device: "slow")) { _ in
            calls.add(1, ordering: .sequentiallyConsistent)
            gate.pass()
        }
        let slowTicket = try ticket(controller, 0..<1)
        try #require(gate.isReached())
        let kept = Monitor<LeaseBox?>(nil)
        let quick = try controller.lease(range(4..<5), .pin, for: Holder(device: "quick")) { _ in
            kept.wait { $0 }?.release()
        }
        let box = LeaseBox(quick)
        kept.update { $0 = box }
        #expect(word(try ticket(controller, 4..<8)) == "completed", "asked, let go, and carried out")
        #expect(slowTicket.result == nil)
        gate.open()
        slow.release()
        #expect(word(slowTicket) == "completed")
        #expect(calls.load(ordering: .sequentiallyConsistent) == 1)
    }

    /// However often a guest asks for a page that somebody has mapped meanwhile.
    @Test func whoIsBeingAskedIsNotAskedAgain() throws {
        let controller = controller()
        let gate = Gate()
        let calls = Atomic<Int>(0)
        let lease = try controller.lease(range(0..<8), .mapping, for: Holder(device: "slow")) { _ in
            calls.add(1, ordering: .sequentiallyConsistent)
            gate.pass()
        }
        func ask(_ pages: Range<UInt64>) throws {
            let request = GuestRequest(
                processor: 0,
                address: pages.lowerBound * 4096,
                byteCount: UInt64(pages.count) * 4096,
                target: .private
            )
            #expect(controller.handle(request) == .retry(from: GuestPhysicalAddress(request.address)))
        }
        try ask(0..<4)
        try #require(gate.isReached())
        for _ in 0..<1000 { try ask(0..<4) }
        for _ in 0..<1000 { try ask(6..<7) }
        gate.open()
        executor.drain()
        #expect(calls.load(ordering: .sequentiallyConsistent) == 2, "once, and once for what else was wanted meanwhile")
        lease.release()
    }

    @Test func aTimeBoxDoesNotWaitForAnothersCommit() throws {
        let policy = AllOf([Terms.timeBox(.milliseconds(1))])
        let controller = controller(policy)
        _ = try controller.convert(ConversionRequest(range(8..<12), to: .private, by: .host("vmm")))
        let gate = Gate()
        let slow = try block(controller, gate)
        let became = Monitor(false)
        backend.atEachCall { call in
            if case .finish(let change) = call, change.to == .private, change.range.start.rawValue == 8 {
                became.update { $0 = true }
            }
        }
        _ = try controller.convert(ConversionRequest(range(8..<12), to: .shared, by: .host("vmm")))
        #expect(became.wait(for: .seconds(120)) { $0 ? true : nil } == true)
        #expect(slow.result == nil)
        gate.open()
        #expect(word(slow) == "completed")
    }

    @Test func aSlowObserverDoesNotHoldUpWhoReleases() throws {
        let gate = Gate()
        let observer = SlowObserver { event in if case .released = event.kind { gate.pass() } }
        let controller = controller(observer: observer)
        let first = try pin(controller, 0..<1)
        let second = try pin(controller, 1..<2)
        let ticket = try ticket(controller, 1..<2)
        first.release()
        try #require(gate.isReached())
        second.release()
        #expect(gate.isShut, "the second release returned, too")
        gate.open()
        #expect(word(ticket) == "completed")
        executor.drain()
        let numbers = observer.numbers
        #expect(numbers.sorted() == Array(1...UInt64(numbers.count)))
    }

    // MARK: The end of a controller

    /// Whoever lets go of the last lease may be the last one who has the controller.
    @Test func theLastLeaseDoesNotEndTheController() throws {
        let releaser = Thread.number
        let foreign = Locked<[String]>([])
        backend.atEachCall { call in
            if Thread.number == releaser { foreign.withLock { $0.append("\(call)") } }
        }
        backend.plan { $0.commit[1] = .pend }
        let ended = Monitor<(result: String, thread: UInt)?>(nil)
        let lease: HostLease
        do {
            let controller = controller()
            lease = try pin(controller, 40..<41)
            try ticket(controller, 0..<4).whenEnded { result in
                ended.update { $0 = (result.word, Thread.number) }
            }
        }
        foreign.withLock { $0 = [] }
        lease.release()
        let end = try #require(ended.wait(for: .seconds(120)) { $0 })
        #expect(end.result == "cancelled" && end.thread != releaser)
        executor.drain()
        #expect(foreign.withLock { $0 } == [], "the back end was called by who released")
        #expect(backend.waiting.isEmpty && backend.openChanges.isEmpty && backend.violations.isEmpty)
        #expect(backend.ownership.runs.map(\.state) == [.shared])
    }

    /// Nor the back end, whose end calls the system, nor a policy or an observer. Again and again: it is a race.
    @Test func theLastLeaseDoesNotEndTheBackEnd() throws {
        final class Ends: Sendable {
            let threads = Monitor<[UInt]>([])
        }
        final class Ending: Policy, ControllerObserver {
            let ends: Ends
            init(_ ends: Ends) { self.ends = ends }
            deinit { ends.threads.update { $0.append(Thread.number) } }
            func decide(
                _ request: ConversionRequest,
                in view: PolicyView,
                remembering memory: inout PolicyMemory
            ) -> PolicyDecision { .allow }
            func observe(_ event: ControllerEvent) {}
        }
        let ends = Ends()
        let rounds = 200
        for _ in 0..<rounds {
            let lease: HostLease
            do {
                let backend = FakeBackend(try GuestMemoryLayout(pages: 0..<4), executor: try ThreadExecutor())
                let ending = Ending(ends)
                backend.atEachCall { _ in _ = ending }
                let controller = MemoryController(backend: backend, policy: Ending(ends), observer: Ending(ends))
                lease = try controller.lease(range(0..<1), .access, for: Holder(device: "nic"))
            }
            lease.release()
        }
        let threads = ends.threads.wait(for: .seconds(120)) { $0.count == rounds * 3 ? $0 : nil }
        #expect(threads?.contains(Thread.number) == false, "\(ends.threads.update { $0.count }) ends")
    }
}

/// An observer that may take its time.
private final class SlowObserver: ControllerObserver {
    private let body: @Sendable (ControllerEvent) -> Void
    private let told = Locked<[UInt64]>([])

    init(_ body: @escaping @Sendable (ControllerEvent) -> Void) { self.body = body }

    var observesAccesses: Bool { false }
    /// The numbers of the steps that it has been told of, each once.
    var numbers: [UInt64] { Array(Set(told.withLock { $0 })) }

    func observe(_ event: ControllerEvent) {
        told.withLock { $0.append(event.sequence) }
        body(event)
    }
}

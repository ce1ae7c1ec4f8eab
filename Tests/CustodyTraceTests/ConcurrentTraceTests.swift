import Custody
import CustodyPolicy
import CustodyTestSupport
import CustodyTrace
import FoundationEssentials
import SimulationBackend
import Testing

/// What several threads do at once stands in a trace in an order that can be.
@Suite(.timeLimit(.minutes(60))) struct ConcurrentTraceTests: ~Copyable {
    private static let pages = 24 as UInt64
    private static let threads = 4
    private static let operations = 400

    let fixture: TraceFixture

    init() throws { fixture = try TraceFixture() }

    /// What the back end does beside what it is asked for.
    enum Trouble: CaseIterable {
        case none
        /// It completes changes later, and fails.
        case pending
        /// It finds pages in another ownership again and again.
        case reconnections
    }

    @Test(arguments: Trouble.allCases) func whatThreadsDoAtOnceCanBe(trouble: Trouble) throws {
        let seed = Seed.value()
        print("Concurrent traces: CUSTODY_SEED=\(seed)")
        let executor = try ThreadExecutor()
        let backend = FakeBackend(try GuestMemoryLayout(pages: 0..<Self.pages), executor: executor)
        if trouble == .pending {
            backend.plan { plan in
                for number in stride(from: 5, to: 20_000, by: 7) { plan.commit[number] = .pendAndComplete }
                for number in stride(from: 10, to: 20_000, by: 21) {
                    plan.commit[number] = .fail(BackendError(.system, "EIO"))
                }
                for number in stride(from: 6, to: 20_000, by: 33) {
                    plan.prepare[number] = BackendError(.system, "EIO")
                }
            }
        }
        let writer = try TraceWriter(appendingTo: fixture.path(), header: TraceHeader(of: backend, named: "fake"))
        let controller = MemoryController(
            backend: backend,
            policy: AllowAll(),
            limits: ControllerLimits(pendingHandovers: 16),
            observer: writer
        )
        try ThreadCrew(Self.threads).run { number in
            var random = SplitMix64(seed: seed &+ UInt64(number) &* 0x51)
            for _ in 0..<Self.operations {
                let low = random.next(upperBound: Self.pages)
                let high = low + 1 + random.next(upperBound: min(4, Self.pages - low))
                guard let range = try? PageRange(pages: low..<high) else { continue }
                if trouble == .reconnections, random.next() % 16 == 0 {
                    var found = PageRunMap(bounds: controller.layout.bounds, state: Ownership.shared)
                    for run in controller.runs(in: found.bounds) where run.state != .inTransit {
                        found.set(run.range, to: run.state)
                    }
                    found.set(range, to: [.shared, .private, .host][Int(random.next(upperBound: UInt64(3)))])
                    controller.backendReconnected(finding: found)
                } else if random.next() % 3 == 0 {
                    guard let lease = try? controller.lease(range, .pin, for: Holder(device: "t\(number)")) else {
                        continue
                    }
                    lease.release()
                } else {
                    let target: Ownership = [.shared, .private, .host][Int(random.next(upperBound: UInt64(3)))]
                    let request = ConversionRequest(
                        range,
                        to: target,
                        by: random.next() % 2 == 0 ? .guest(processor: number) : .host("t\(number)"),
                        whenHeld: random.next() % 8 == 0 ? .report : .handOver(deadline: .microseconds(200)),
                        extent: random.next() % 3 == 0 ? .prefix(maximumRuns: 3) : .all
                    )
                    let outcome = try? controller.convert(request)
                    if case .pending(let ticket, _)? = outcome?.status, random.next() % 4 == 0 { ticket.cancel() }
                }
            }
        }
        while !controller.pendingTickets.isEmpty { executor.pass(.milliseconds(1)) }
        executor.drain()
        // Whatever the threads came to, one hand-over at least ends on the executor's.
        backend.plan { $0 = FakeBackend.Plan() }
        let page = try PageRange(pages: 0..<1)
        _ = try controller.convert(ConversionRequest(page, to: .shared, by: .host("vmm")))
        let lease = try controller.lease(page, .pin, for: Holder(device: "nic"))
        let last = try controller.convert(ConversionRequest(page, to: .private, by: .host("vmm")))
        lease.release()
        executor.drain()
        guard case .pending(let ticket, _) = last.status else { throw TraceError("not pending: \(last)", file: "") }
        #expect(ticket.result != nil)
        try writer.close(ownership: controller.runs(in: controller.layout.bounds))
        let report = try TraceFixture.verify(fixture.path())
        #expect(report.error?.description == nil)
        if report.error != nil, let folder = ProcessInfo.processInfo.environment["CUSTODY_KEEP"] {
            try? FileManager.default.copyItem(atPath: fixture.path(), toPath: "\(folder)/concurrent.jsonl")
        }
        let records = try TraceFixture.records(fixture.path())
        // An operation is an event at least. The test's own thread, the executor's and the writer's are three more, and
        // beside them are those on which the executor has observers told of releases.
        let threads = Set(records.map(\.thread)).count
        #expect((Self.threads + 3...Self.threads + 3 + ThreadExecutor.concurrency).contains(threads))
        #expect(records.count >= Self.threads * Self.operations)
    }

    /// A hand-over that is over before its request is answered.
    @Test func aQuickBackEndIsPlayedAgain() throws {
        let backend = FakeBackend(try GuestMemoryLayout(pages: 0..<Self.pages), executor: VirtualExecutor())
        backend.plan { $0.commit = [2: .pendAndComplete, 3: .pendAndFail(BackendError(.system, "EIO")), 4: .pend] }
        let writer = try TraceWriter(appendingTo: fixture.path(), header: TraceHeader(of: backend, named: "fake"))
        let controller = MemoryController(backend: backend, policy: AllowAll(), observer: writer)
        for page in 0..<4 as Range<UInt64> {
            let range = try PageRange(pages: (page * 4)..<(page * 4 + 2))
            _ = try? controller.convert(ConversionRequest(range, to: .private, by: .guest(processor: 0)))
        }
        if let last = backend.waiting.first { backend.complete(last) }
        try writer.close(ownership: controller.runs(in: controller.layout.bounds))
        #expect(try TraceFixture.verify(fixture.path()).error?.description == nil)
        let trace = try #require(try Trace.read(fixture.path()).traces.first)
        #expect(trace.entries.count { $0.record.event.name == "settled" } == 3)
        let simulation = SimulationBackend(
            guest: GuestConfiguration(layout: trace.header.layout),
            options: SimulationOptions(latency: .zero),
            ownership: trace.header.ownershipMap
        )
        #expect(try TraceReplay(trace, policy: AllowAll()).run(on: simulation).difference?.description == nil)
    }
}

import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Synchronization
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Many threads on one controller, on real time.
@Suite(.timeLimit(.minutes(10)), .serialized) struct StressTests {
    private static let pages = 48 as UInt64
    private static let threads = 8

    /// Runs `body` on as many threads at once, and waits for all of them.
    private func concurrently(_ body: @escaping @Sendable (Int) -> Void) async {
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<Self.threads {
                group.addTask {
                    await withCheckedContinuation { continuation in
                        try? Thread.start {
                            body(number)
                            continuation.resume()
                        }
                    }
                }
            }
        }
    }

    /// Leases and conversions of overlapping pages. While a lease lives, none of its pages is anybody else's.
    @Test(arguments: [false, true])
    func leasesAndConversionsOfOverlappingPages(backendPends: Bool) async throws {
        let seed = Seed.value()
        print("Stress: CUSTODY_SEED=\(seed)")
        let executor = try ThreadExecutor()
        let backend = FakeBackend(try GuestMemoryLayout(pages: 0..<Self.pages), executor: executor)
        if backendPends {
            backend.plan { plan in
                for number in stride(from: 5, to: 40_000, by: 7) { plan.commit[number] = .pend }
                for number in stride(from: 8, to: 40_000, by: 7) { plan.commit[number] = .pendAndComplete }
                for number in stride(from: 10, to: 40_000, by: 21) {
                    plan.commit[number] = .fail(BackendError(.system, "EIO"))
                }
                for number in stride(from: 6, to: 40_000, by: 33) {
                    plan.prepare[number] = BackendError(.system, "EIO")
                }
            }
        }
        let log = EventLog()
        let controller = MemoryController(
            backend: backend,
            policy: AllowAll(),
            limits: ControllerLimits(pendingHandovers: 16),
            observer: log
        )
        let tickets = Locked<[TicketID: Ticket]>([:])
        let wrong = Locked<[String]>([])
        await concurrently { number in
            var random = SplitMix64(seed: seed &+ UInt64(number) &* 0x51)
            for step in 0..<250 {
                let low = random.next(upperBound: Self.pages)
                let high = low + 1 + random.next(upperBound: min(8, Self.pages - low))
                guard let range = try? PageRange(pages: low..<high) else { continue }
                if random.next() % 3 == 0 {
                    let kind: LeaseKind = random.next() % 8 == 0 ? .mapping : .pin
                    guard let lease = try? controller.lease(range, kind, for: Holder(device: "t\(number)")) else {
                        continue
                    }
                    for _ in 0..<3 {
                        for run in controller.runs(in: range)
                        where run.state != .shared && run.state != .inTransit && run.state != .host {
                            wrong.withLock { $0.append("\(range) is leased and \(run.state), step \(step)") }
                        }
                        for run in backend.ownership.runs(in: range) where !run.state.allows(.host) {
                            wrong.withLock { $0.append("\(range) is leased and the back end has it \(run.state)") }
                        }
                        sched_yield()
                    }
                    lease.release()
                } else {
                    let target: Ownership = [.shared, .private, .host][Int(random.next(upperBound: UInt64(3)))]
                    let deadline: Duration? =
                        random.next() % 2 == 0 ? .microseconds(Int(random.next(upperBound: UInt64(2000)))) : nil
                    let request = ConversionRequest(
                        range,
                        to: target,
                        by: random.next() % 2 == 0 ? .guest(processor: number) : .host("t\(number)"),
                        whenHeld: random.next() % 8 == 0 ? .report : .handOver(deadline: deadline),
                        extent: random.next() % 3 == 0 ? .prefix(maximumRuns: 3) : .all
                    )
                    if let ticket = (try? controller.convert(request))?.ticket {
                        tickets.withLock { $0[ticket.id] = ticket }
                        if random.next() % 4 == 0 { ticket.cancel() }
                    }
                }
                if backendPends, let next = backend.waiting.first, step % 2 == 0 {
                    if step % 10 == 0 {
                        backend.fail(next, BackendError(.guestFailed, "no"))
                    } else {
                        backend.complete(next)
                    }
                }
            }
        }
        // Everybody has let go: what is pending comes to its end.
        let limit = ContinuousClock.now + .seconds(20)
        while !(controller.pendingTickets.isEmpty && backend.openChanges.isEmpty), ContinuousClock.now < limit {
            while let next = backend.waiting.first { backend.complete(next) }
            executor.drain()
            executor.pass(.milliseconds(1))
        }
        executor.drain()
        #expect(wrong.withLock { $0 } == [])
        #expect(controller.pendingTickets.map(\.id) == [])
        #expect(controller.blockers(of: controller.layout.bounds).isEmpty)
        #expect(backend.violations == [])
        #expect(backend.openChanges == [])
        #expect(Array(backend.ownership.runs) == controller.runs(in: controller.layout.bounds))
        #expect(controller.runs(in: controller.layout.bounds).allSatisfy { $0.state != .inTransit }, "a claim is left")
        let unsettled = tickets.withLock { $0.values.filter { $0.result == nil }.map(\.id) }
        #expect(unsettled == [])
        let settled = log.settlements.map(\.id)
        #expect(Set(settled).count == settled.count, "each once")
        #expect(Set(settled).isSuperset(of: tickets.withLock { Set($0.keys) }))
        #expect(!settled.isEmpty)
    }

    /// The bytes of a page that is private for a while are never seen by the host, whatever it does meanwhile.
    @Test func secretsStayWithTheGuest() async throws {
        let backend = SimulationBackend(
            guest: GuestConfiguration(layout: try GuestMemoryLayout(pages: 0..<8), processors: 8)
        )
        let controller = MemoryController(backend: backend, policy: AllowAll())
        let leaks = Atomic<Int>(0)
        let secrets = Atomic<Int>(0)
        await concurrently { number in
            let secret = [UInt8](repeating: 0x5a, count: 16)
            let address = GuestPhysicalAddress(UInt64(number / 2) * 4096)
            for _ in 0..<400 {
                if number % 2 == 0 {
                    // The guest: private, a secret, and shared again; sharing zeroes the page.
                    let ask = GuestOperation.request(address: address.rawValue, byteCount: 4096, target: .private)
                    guard case .reply(.done)? = try? backend.perform(ask, on: number, answeringTo: controller) else {
                        backend.executor.drain()
                        continue
                    }
                    _ = try? backend.perform(.write(secret, to: address), on: number, answeringTo: controller)
                    secrets.add(1, ordering: .relaxed)
                    let back = GuestOperation.request(address: address.rawValue, byteCount: 4096, target: .shared)
                    _ = try? backend.perform(back, on: number, answeringTo: controller)
                } else {
                    var bytes = [UInt8](repeating: 0, count: 16)
                    var span = bytes.mutableSpan
                    try? controller.read(&span, from: address, for: Holder(device: "t\(number)"))
                    span = bytes.mutableSpan
                    try? backend.read(&span, from: address)
                    if bytes.contains(0x5a) { leaks.add(1, ordering: .relaxed) }
                }
            }
        }
        #expect(leaks.load(ordering: .relaxed) == 0)
        #expect(secrets.load(ordering: .relaxed) > 0)
    }
}

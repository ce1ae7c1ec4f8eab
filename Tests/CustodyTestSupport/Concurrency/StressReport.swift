import Custody
import CustodyPolicy
import SimulationBackend
import Synchronization

/// What came of many operations by eight threads on one controller.
package struct StressReport: Sendable, CustomStringConvertible {
    /// The number of operations: exactly as many as were asked for.
    package let operations: UInt64
    /// How many of each kind, by its name.
    package let kinds: [(name: String, count: UInt64)]
    /// The number of hand-overs that were registered.
    package let handovers: UInt64
    /// What was not as it must be.
    package let wrong: [String]
    /// How long it took.
    package let time: Duration

    package var description: String {
        let parts = kinds.map { "\($0.count) \($0.name)" }.joined(separator: ", ")
        let end = wrong.isEmpty ? "all promises kept" : wrong.joined(separator: "\n")
        return "\(operations) operations by 8 threads in \(time): \(parts); \(handovers) hand-overs; \(end)"
    }

    private static let names = [
        "reads", "writes", "leases", "releases", "conversions", "cancellations", "look-ups", "discards",
    ]

    /// What all threads have in common.
    private final class Scene: Sendable {
        static let pages = 64 as UInt64
        let backend: StressBackend
        let controller: MemoryController
        let counts: [Counter] = names.map { _ in Counter() }
        let registered = Atomic<UInt64>(0)
        let ended = Atomic<UInt64>(0)

        init(_ executor: ThreadExecutor) throws {
            backend = try StressBackend(pages: Self.pages, executor: executor)
            controller = MemoryController(
                backend: backend,
                policy: AllowAll(),
                limits: ControllerLimits(pendingHandovers: 32, pendingInTotal: 64)
            )
        }
    }

    private final class Counter: Sendable {
        let value = Atomic<UInt64>(0)
    }

    /// Performs so many operations, an eighth of them on each thread, and lets everything come to its end.
    ///
    /// - Throws: `BackendError` where there is no thread to be had.
    package init(operations: UInt64, seed: UInt64) throws {
        let executor = try ThreadExecutor()
        let scene = try Scene(executor)
        let crew = try ThreadCrew(8)
        let began = ContinuousClock.now
        crew.run { number in
            let share = operations / 8 + (UInt64(number) < operations % 8 ? 1 : 0)
            var worker = Worker(scene, number, SplitMix64(seed: seed &+ UInt64(number) &* 0x9e37_79b9))
            worker.work(share)
        }
        time = ContinuousClock.now - began
        // Everybody has let go: what is pending comes to its end by itself.
        var rounds = 0
        while !scene.controller.pendingTickets.isEmpty, rounds < 10_000 {
            executor.drain()
            executor.pass(.milliseconds(1))
            rounds += 1
        }
        executor.drain()
        let counts = scene.counts.map { $0.value.load(ordering: .sequentiallyConsistent) }
        kinds = Array(zip(Self.names, counts)).map { (name: $0.0, count: $0.1) }
        self.operations = counts.reduce(0, +)
        handovers = scene.registered.load(ordering: .sequentiallyConsistent)
        wrong = StressReport.judge(scene, operations, counts.reduce(0, +))
    }

    private static func judge(_ scene: Scene, _ asked: UInt64, _ done: UInt64) -> [String] {
        var wrong: [String] = []
        let controller = scene.controller
        if done != asked { wrong.append("\(done) operations, not \(asked)") }
        let breaches = scene.backend.breaches.load(ordering: .sequentiallyConsistent)
        if breaches != 0 { wrong.append("\(breaches) times somebody was where it must not be") }
        if !controller.pendingTickets.isEmpty { wrong.append("\(controller.pendingTickets.count) hand-overs are left") }
        let registered = scene.registered.load(ordering: .sequentiallyConsistent)
        let ended = scene.ended.load(ordering: .sequentiallyConsistent)
        if registered != ended { wrong.append("\(registered) hand-overs, and \(ended) ends") }
        if !controller.blockers(of: controller.layout.bounds).isEmpty { wrong.append("somebody still holds pages") }
        for run in controller.runs(in: controller.layout.bounds) {
            for page in run.range.start.rawValue..<run.range.end
            where scene.backend.ownership(of: Int(page)) != run.state {
                wrong.append(
                    "page \(page) is \(run.state), and \(scene.backend.ownership(of: Int(page))) to the back end"
                )
            }
        }
        if let inconsistency = controller.snapshot().inconsistency { wrong.append(inconsistency) }
        return wrong
    }

    /// One thread.
    private struct Worker: ~Copyable {
        private let scene: Scene
        private let number: Int
        private let holder: Holder
        private var random: SplitMix64
        private var lease: HostLease?
        private var ticket: Ticket?
        private var counts = [UInt64](repeating: 0, count: names.count)

        init(_ scene: Scene, _ number: Int, _ random: SplitMix64) {
            self.scene = scene
            self.number = number
            self.random = random
            holder = Holder(device: "t\(number)")
            lease = nil
        }

        /// Performs exactly so many operations; the last ones give back what is held.
        mutating func work(_ share: UInt64) {
            for left in stride(from: share, to: 0, by: -1) {
                let kind = left == 1 && lease != nil ? 3 : operate()
                if kind == 3 { lease = nil }
                counts[kind] += 1
            }
            for (counter, count) in zip(scene.counts, counts) {
                counter.value.add(count, ordering: .sequentiallyConsistent)
            }
        }

        private mutating func operate() -> Int {
            let dice = random.next()
            let page = dice >> 32 & (Scene.pages - 1)
            let address = GuestPhysicalAddress(page * 4096)
            switch dice & 0xff {
            case 0..<140:
                var word: [8 of UInt8] = [0, 0, 0, 0, 0, 0, 0, 0]
                var span = word.mutableSpan
                try? scene.controller.read(&span, from: address, for: holder)
                return 0
            case 140..<200:
                let bytes: [8 of UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
                try? scene.controller.write(bytes.span, to: address, for: holder)
                return 1
            case 200..<226: return lease == nil ? take(page) : 3
            case 226..<238:
                convert(page, dice)
                return 4
            case 238..<242:
                ticket?.cancel()
                ticket = nil
                return 5
            case 242..<254:
                _ = scene.controller.ownership(of: PageNumber(page))
                return 6
            default:
                if let range = try? PageRange(PageNumber(page)) { try? scene.controller.discard(range) }
                return 7
            }
        }

        private mutating func take(_ page: UInt64) -> Int {
            let count = min(1 + random.next() % 4, Scene.pages - page)
            if let range = try? PageRange(start: PageNumber(page), count: count) {
                lease = try? scene.controller.lease(range, random.next() % 16 == 0 ? .mapping : .pin, for: holder)
            }
            return 2
        }

        private mutating func convert(_ page: UInt64, _ dice: UInt64) {
            let count = min(1 + dice >> 40 & 1, Scene.pages - page)
            guard let range = try? PageRange(start: PageNumber(page), count: count) else { return }
            // Mostly back to where others can reach it.
            let target: Ownership = dice >> 50 & 7 == 0 ? .host : dice >> 50 & 1 == 0 ? .shared : .private
            let waits = dice >> 52 & 7 != 0
            let request = ConversionRequest(
                range,
                to: target,
                by: dice >> 55 & 1 == 0 ? .guest(processor: number) : .host("vmm"),
                whenHeld: waits ? .handOver(deadline: dice >> 56 & 3 == 0 ? .microseconds(200) : nil) : .report,
                extent: dice >> 58 & 3 == 0 ? .prefix(maximumRuns: 4) : .all
            )
            guard let outcome = try? scene.controller.convert(request), case .pending(let ticket, _) = outcome.status
            else { return }
            self.ticket = ticket
            // A joined hand-over is counted by everybody who waits for it, and so is its end.
            scene.registered.add(1, ordering: .sequentiallyConsistent)
            ticket.whenEnded { [scene] _ in scene.ended.add(1, ordering: .sequentiallyConsistent) }
        }
    }
}

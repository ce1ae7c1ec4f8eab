import Custody
import CustodyPolicy
import SimulationBackend
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What a hostile guest got out of a controller that honest threads use at the same time.
///
/// Four processors of the guest ask for what costs most: they flip pages, ask again for pages that are held, scatter
/// ownership page by page, fill the list of hand-overs, name pages in an order that makes a tree deep, and send numbers
/// that are no ranges. Two devices pin whatever page the guest names, and let go when they are asked to; two threads of
/// the host convert, read and write pages of their own. Each list is looked at again and again: none may exceed its bound.
package struct AdversaryReport: Sendable, CustomStringConvertible {
    /// When it is over.
    package enum Length: Sendable {
        /// After so many requests of the guest.
        case requests(UInt64)
        /// After so much time.
        case time(Duration)
    }

    /// The number of requests that the guest made.
    package let requests: UInt64
    /// The number of conversions that the host's own threads carried out meanwhile.
    package let honest: UInt64
    /// The largest number of entries seen, list by list, with its bound.
    package let peaks: [(name: String, peak: Int, bound: Int)]
    /// What was not as it must be.
    package let wrong: [String]

    package var description: String {
        let lists = peaks.map { "\($0.name) \($0.peak) of \($0.bound)" }.joined(separator: ", ")
        let end = wrong.isEmpty ? "all bounds kept" : wrong.joined(separator: "\n")
        return "\(requests) hostile requests beside \(honest) honest conversions; at most: \(lists); \(end)"
    }

    /// Attacks a controller and judges it.
    ///
    /// - Throws: `BackendError` where there is no thread to be had.
    package init(_ length: Length, seed: UInt64) throws {
        let executor = try ThreadExecutor()
        let scene = try Scene(executor, length)
        let crew = try ThreadCrew(9)
        crew.run { number in
            let random = SplitMix64(seed: seed &+ UInt64(number) &* 0x9e37_79b9)
            switch number {
            case 0..<4: Guest(scene, number, random).work()
            case 4..<6: Device(scene, number, random).work()
            case 6..<8: Host(scene, number).work()
            default: Watch(scene).work()
            }
        }
        // Everybody has let go: what is pending comes to its end by itself.
        var rounds = 0
        while !scene.controller.pendingTickets.isEmpty, rounds < 10_000 {
            executor.drain()
            executor.pass(.milliseconds(1))
            rounds += 1
        }
        executor.drain()
        requests = scene.requests.load(ordering: .sequentiallyConsistent)
        honest = scene.honest.load(ordering: .sequentiallyConsistent)
        peaks = scene.peaks.withLock { $0 }
        wrong = AdversaryReport.judge(scene, peaks)
    }

    private static func judge(_ scene: Scene, _ peaks: [(name: String, peak: Int, bound: Int)]) -> [String] {
        var wrong = peaks.filter { $0.peak > $0.bound }.map { "\($0.peak) \($0.name), and the bound is \($0.bound)" }
        let left = scene.controller.counts
        for (name, count) in [
            ("changes under way", left.claims), ("hand-overs", left.pending), ("leases", left.leases),
            ("holders to be asked", left.drains), ("discards", left.discards), ("early ends", left.earlyEnds),
        ] where count != 0 { wrong.append("\(count) \(name) are left") }
        for (index, count) in scene.progress.enumerated() where count.load() == 0 {
            wrong.append("honest thread \(index) got nowhere")
        }
        let breaches = scene.backend.breaches.load(ordering: .sequentiallyConsistent)
        if breaches != 0 { wrong.append("\(breaches) times somebody was where it must not be") }
        if let inconsistency = scene.controller.snapshot().inconsistency { wrong.append(inconsistency) }
        return wrong
    }
}

private final class Progress: Sendable {
    private let count = Atomic<UInt64>(0)
    func increment() { count.add(1, ordering: .relaxed) }
    func load() -> UInt64 { count.load(ordering: .relaxed) }
}

/// What all threads have in common.
private final class Scene: Sendable {
    /// The pages that the guest attacks, and behind them a part for each honest thread.
    static let attacked: UInt64 = 4096
    static let own: UInt64 = 64
    static let limits = ControllerLimits(pendingHandovers: 128, pendingInTotal: 192, runsPerGuestRequest: 64)
    static let pins = 64

    let backend: StressBackend
    let executor: ThreadExecutor
    let controller: MemoryController
    let requests = Atomic<UInt64>(0)
    let honest = Atomic<UInt64>(0)
    /// The page that the guest wants a device to pin.
    let named = Atomic<UInt64>(0)
    let progress = [Progress(), Progress()]
    let peaks = Locked<[(name: String, peak: Int, bound: Int)]>([])
    private let length: AdversaryReport.Length
    private let began = ContinuousClock.now

    init(_ executor: ThreadExecutor, _ length: AdversaryReport.Length) throws {
        self.length = length
        self.executor = executor
        backend = try StressBackend(pages: Self.attacked + 2 * Self.own, executor: executor)
        controller = MemoryController(
            backend: backend,
            policy: AllOf([
                // A short time for the lower half, and one that is never over for the upper one.
                PerRange(
                    try PageRange(start: PageNumber(0), count: Self.attacked / 2),
                    Terms.timeBox(.milliseconds(20))
                ),
                PerRange(
                    try PageRange(start: PageNumber(Self.attacked / 2), count: Self.attacked / 2),
                    Terms.timeBox(.seconds(3600))
                ),
                StormDefence(
                    Rate(1_000_000, per: .seconds(1), burst: 1_000_000),
                    for: .seconds(1),
                    shutOut: .milliseconds(1),
                    atMost: .milliseconds(2)
                ),
                Terms.deadline(.seconds(3600)),
            ]),
            limits: Self.limits
        )
    }

    /// Whether a quarter of it is over: what grows from then on grows without end.
    var isWarm: Bool {
        switch length {
        case .requests(let count): requests.load(ordering: .relaxed) >= count / 4
        case .time(let duration): ContinuousClock.now - began >= duration / 4
        }
    }

    var isOver: Bool {
        switch length {
        case .requests(let count): requests.load(ordering: .relaxed) >= count
        case .time(let duration): ContinuousClock.now - began >= duration
        }
    }
}

/// A processor of the guest.
private struct Guest: ~Copyable {
    private let scene: Scene
    private let number: Int
    private var random: SplitMix64

    init(_ scene: Scene, _ number: Int, _ random: SplitMix64) {
        self.scene = scene
        self.number = number
        self.random = random
    }

    consuming func work() {
        while !scene.isOver {
            let first = random.next() & (Scene.attacked - 1)
            switch random.next() % 7 {
            case 0: for count in 0..<64 as Range<UInt64> { ask(first, 1, count % 2 == 0 ? .private : .shared) }
            case 1: for _ in 0..<64 { ask(scene.named.load(ordering: .relaxed), 1, .private) }
            case 2: for step in 0..<64 as Range<UInt64> { ask(first + 2 * step, 1, .private) }
            case 3: for step in 0..<64 as Range<UInt64> { ask(step, 1, step % 2 == 0 ? .shared : .private) }
            case 4: name(first)
            case 5: ask(0, Scene.attacked, random.next() % 2 == 0 ? .shared : .private)
            default: malformed()
            }
        }
    }

    private func ask(_ page: UInt64, _ count: UInt64, _ target: Ownership) {
        let page = page & (Scene.attacked - 1)
        let count = min(count, Scene.attacked - page)
        send(page * 4096, count * 4096, target)
    }

    private func send(_ address: UInt64, _ byteCount: UInt64, _ target: Ownership) {
        scene.requests.add(1, ordering: .relaxed)
        _ = scene.controller.handle(
            GuestRequest(processor: number, address: address, byteCount: byteCount, target: target)
        )
    }

    /// Names pages for a device in rising, falling or halving order, and wants each of them back at once.
    private mutating func name(_ first: UInt64) {
        let order = random.next() % 3
        for step in 0..<64 as Range<UInt64> {
            let page =
                switch order {
                case 0: first + step
                case 1: first + 64 - step
                default: first ^ (Scene.attacked >> (step % 12 + 1))
                }
            scene.named.store(page & (Scene.attacked - 1), ordering: .relaxed)
            ask(page, 1 + step % 3, .private)
        }
    }

    private mutating func malformed() {
        let targets: [Ownership] = [.private, .shared, .host, .inTransit]
        let numbers: [UInt64] = [0, 1, 4095, 4096, 1 << 63, .max, .max - 4095, Scene.attacked * 4096 - 4096]
        for _ in 0..<16 {
            let dice = random.next()
            // What is a range at all lies among the attacked pages: pages of the honest threads are theirs.
            let address = numbers[Int(dice & 7)]
            let byteCount = numbers[Int(dice >> 3 & 7)]
            let (end, overflow) = address.addingReportingOverflow(byteCount)
            guard overflow || end <= Scene.attacked * 4096 || address > Scene.attacked * 8192 else { continue }
            send(address, byteCount, targets[Int(dice >> 6 & 3)])
        }
    }
}

/// A device that pins what it is told to.
private struct Device: ~Copyable {
    /// A lease that can be let go by its holder and by whoever asks it to.
    private final class Pin: Sendable {
        private let lease = Locked<HostLease?>(nil)
        func keep(_ kept: consuming HostLease) {
            var kept: HostLease? = consume kept
            lease.withLock { $0 = kept.take() }
        }
        func release() {
            let taken = lease.withLock { $0.take() }
            _ = consume taken
        }
    }

    private let scene: Scene
    private let holder: Holder
    private var random: SplitMix64
    private var pins: [Pin] = []

    init(_ scene: Scene, _ number: Int, _ random: SplitMix64) {
        self.scene = scene
        holder = Holder(device: "device\(number)")
        self.random = random
    }

    consuming func work() {
        while !scene.isOver {
            let page = scene.named.load(ordering: .relaxed)
            let count = min(1 + random.next() % 4, Scene.attacked - page)
            guard let range = try? PageRange(start: PageNumber(page), count: count) else { continue }
            let pin = Pin()
            let kind: LeaseKind = random.next() % 4 == 0 ? .mapping : .pin
            // Some let go when they are asked to, some when they please.
            var drain: (@Sendable (DrainRequest) -> Void)?
            if random.next() % 2 == 0 { drain = { _ in pin.release() } }
            if let lease = try? scene.controller.lease(range, kind, for: holder, onDrain: drain) { pin.keep(lease) }
            pins.append(pin)
            if pins.count == Scene.pins {
                for pin in pins { pin.release() }
                pins = []
            }
        }
        for pin in pins { pin.release() }
    }
}

/// A thread of the host with pages of its own.
private struct Host {
    let scene: Scene
    private let index: Int
    private let first: UInt64
    private let holder: Holder

    init(_ scene: Scene, _ number: Int) {
        self.scene = scene
        index = number - 6
        first = Scene.attacked + UInt64(index) * Scene.own
        holder = Holder(device: "host\(index)")
    }

    func work() {
        var round: UInt64 = 0
        while !scene.isOver {
            let page = PageNumber(first + round / 2 % Scene.own)
            let target: Ownership = round % 2 == 0 ? .private : .shared
            round += 1
            if target == .private {
                let bytes: [8 of UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
                try? scene.controller.write(bytes.span, to: page.address, for: holder)
            }
            guard let range = try? PageRange(page),
                let outcome = try? scene.controller.convert(ConversionRequest(range, to: target, by: .host("vmm")))
            else { continue }
            guard outcome.changedPages > 0 else { continue }
            scene.progress[index].increment()
            scene.honest.add(1, ordering: .relaxed)
        }
    }
}

/// Looks at every list, again and again.
private struct Watch {
    let scene: Scene

    init(_ scene: Scene) { self.scene = scene }

    func work() {
        var atFirst: Int?
        while !scene.isOver {
            look()
            if scene.isWarm {
                let before = atFirst ?? residentKiB()
                atFirst = before
                note("KiB more than after a quarter of it", residentKiB() - before, 64 * 1024)
            }
            sched_yield()
        }
        look()
    }

    private func look() {
        let counts = scene.controller.counts
        let limits = Scene.limits
        let pages = Int(Scene.attacked + 2 * Scene.own)
        // A thread has one change under way at a time, and so has the executor.
        let underWay = limits.pendingInTotal + 16
        note("hand-overs", counts.pending, limits.pendingInTotal)
        note("hand-overs of the guest", counts.pendingOfGuest, limits.pendingHandovers)
        note("changes under way", counts.claims, underWay)
        note("places for changes", counts.claimPlaces, underWay)
        note("leases", counts.leases, 2 * Scene.pins + 16)
        note("holders to be asked", counts.drains, 2 * Scene.pins)
        note("time boxes", counts.timeBoxes, pages)
        // One for each deadline of a hand-over, and one for all time boxes.
        note("timers", scene.executor.timerCount, underWay)
        note("discards", counts.discards, 0)
        note("early ends", counts.earlyEnds, 16)
        note("marks", counts.marks, 16)
        note("runs", counts.runs, pages)
    }

    private func note(_ name: String, _ count: Int, _ bound: Int) {
        scene.peaks.withLock { peaks in
            if let index = peaks.firstIndex(where: { $0.name == name }) {
                peaks[index].peak = max(peaks[index].peak, count)
            } else {
                peaks.append((name, count, bound))
            }
        }
    }

    /// The memory of this process.
    private func residentKiB() -> Int {
        let file = unsafe open("/proc/self/statm", O_RDONLY)
        guard file >= 0 else { return 0 }
        defer { close(file) }
        var text = [UInt8](repeating: 0, count: 128)
        let count = unsafe text.withUnsafeMutableBytes { unsafe read(file, $0.baseAddress, $0.count) }
        let words = String(decoding: text.prefix(max(count, 0)), as: UTF8.self).split(separator: " ")
        return (words.dropFirst().first.flatMap { Int($0) } ?? 0) * 4
    }
}

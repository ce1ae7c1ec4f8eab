import Custody
import CustodyPolicy
import CustodyTestSupport
import Foundation
import KVMBackend
import SimulationBackend
import Testing

/// A guest that asks for whatever comes into its head, on a real processor: every answer is that of the simulation, which
/// hears the same requests.
@Suite(.enabled(if: TestHost.hasKVM, "there is no /dev/kvm that this user may open"))
struct GuestFuzzTests {
    /// How many requests are made: `CUSTODY_FUZZ_REQUESTS`, or a hundred thousand.
    private static let total: Int = {
        ProcessInfo.processInfo.environment["CUSTODY_FUZZ_REQUESTS"].flatMap(Int.init) ?? 100_000
    }()

    /// Every rule for holes, and both modes that this machine has.
    private static let worlds: [(mode: KVMMode, holes: HoleRule)] = [
        (.dual, .limit(pages: 200)), (.revoked, .reject), (.revoked, .limit(pages: 200)), (.revoked, .ignore),
    ]

    @Test(.timeLimit(.minutes(60))) func everyAnswerIsTheSimulations() async throws {
        // Regions whose borders are at no large page, with holes between them.
        let start = PageNumber(1027)
        let layout = try GuestMemoryLayout(regions: [
            PageRange(start: start, count: 97), PageRange(start: PageNumber(1200), count: 1),
            PageRange(start: PageNumber(1536), count: 40),
        ])
        let began = ContinuousClock.now
        // On threads of their own: the ones that tests run on are few.
        let tallies = try await withThrowingTaskGroup(of: [String: Int].self) { group in
            for number in GuestFuzzTests.worlds.indices {
                group.addTask {
                    try await withCheckedThrowingContinuation { continuation in
                        do {
                            try Thread.start {
                                continuation.resume(with: Result { try GuestFuzzTests.play(number, layout) })
                            }
                        } catch { continuation.resume(throwing: error) }
                    }
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        let tally = tallies.reduce(into: [:]) { sum, tally in sum.merge(tally, uniquingKeysWith: +) }
        let took = ContinuousClock.now - began
        let done = tally.values.reduce(0, +)
        print("\(done) requests of real guests in \(took), each answered as by the simulation: \(tally)")
        #expect(done == GuestFuzzTests.total / GuestFuzzTests.worlds.count * GuestFuzzTests.worlds.count)
        // Each kind of answer has been given, often.
        for answer in ["done", "refused", "retry"] { #expect(tally[answer] ?? 0 > GuestFuzzTests.total / 200) }
    }

    /// Plays one world's share of the requests, and counts the answers.
    private static func play(_ number: Int, _ layout: GuestMemoryLayout) throws -> [String: Int] {
        let world = worlds[number]
        let lockstep = try Lockstep(layout, world.mode, world.holes, seed: UInt64(number))
        defer { lockstep.end() }
        var done = 0
        let share = total / worlds.count
        while done < share { done += try lockstep.batch(atMost: share - done) }
        return lockstep.tally
    }
}

/// Two guests, a real and a simulated one, whose controllers hear the same requests.
private final class Lockstep {
    /// Answers the real guest, and keeps what the simulation would have said.
    private final class Handler: GuestRequestHandler {
        let real: MemoryController
        let simulated: MemoryController
        private let answers = Monitor<[(real: GuestReply, simulated: GuestReply)]>([])

        init(real: MemoryController, simulated: MemoryController) {
            self.real = real
            self.simulated = simulated
        }

        func handle(_ request: GuestRequest) -> GuestReply {
            let reply = real.handle(request)
            let other = simulated.handle(request)
            answers.update { $0.append((reply, other)) }
            return reply
        }

        func take() -> [(real: GuestReply, simulated: GuestReply)] {
            answers.update { answers in
                defer { answers = [] }
                return answers
            }
        }
    }

    private let layout: GuestMemoryLayout
    private let real: KVMBackend
    private let simulated: SimulationBackend
    private let handler: Handler
    private var random: Random
    private(set) var tally: [String: Int] = [:]

    init(_ layout: GuestMemoryLayout, _ mode: KVMMode, _ holes: HoleRule, seed: UInt64) throws {
        self.layout = layout
        let guest = GuestConfiguration(layout: layout, processors: 1)
        real = try KVMBackend(guest, mode: mode)
        let contents: ContentsEffect = mode == .dual ? .zeroed : .preserved
        simulated = SimulationBackend(guest: guest, options: SimulationOptions(contents: contents))
        let limits = ControllerLimits(
            pendingHandovers: 20,
            runsPerGuestRequest: 6,
            pagesPerGuestRequest: 64,
            holes: holes
        )
        handler = Handler(
            real: MemoryController(backend: real, policy: AllowAll(), limits: limits),
            simulated: MemoryController(backend: simulated, policy: AllowAll(), limits: limits)
        )
        random = Random(seed: seed)
    }

    func end() {
        real.shutDown()
        simulated.shutDown()
    }

    /// Makes one mailbox of requests, with pages held by both hosts meanwhile.
    func batch(atMost count: Int) throws -> Int {
        let requests = (0..<min(count, GuestCommand.requestCapacity)).map { _ in makeRequest() }
        // A request for an ownership that there is not is refused before anybody is asked.
        let isAsked = requests.map { $0.target <= 3 }
        let pinned = try (0..<Int.random(in: 0...2, using: &random)).map { _ in
            try PageRange(start: randomPage(), count: 1)
        }
        let result = try holding(pinned) {
            try real.execute(.requests(requests), on: 0, answeringTo: handler)
        }
        guard case .done(_, _, let bytes) = result else { throw Mismatch(requests: requests, text: "\(result)") }
        let told = GuestCommand.Request.replies(requests.count, in: bytes)
        var answers = handler.take()[...]
        for (index, request) in requests.enumerated() {
            guard isAsked[index] else {
                guard told[index] == .refused else {
                    throw Mismatch(requests: [request], text: "\(told[index] as Any)")
                }
                tally["refused", default: 0] += 1
                continue
            }
            // What the guest finds, what the controller said, and what the simulation says.
            guard let (reply, other) = answers.popFirst(), told[index] == reply, reply == other else {
                throw Mismatch(requests: [request], text: "\(told[index] as Any)")
            }
            tally[Lockstep.name(reply), default: 0] += 1
        }
        guard answers.isEmpty else { throw Mismatch(requests: requests, text: "\(answers.count) answers too many") }
        try settle()
        let bounds = layout.bounds
        guard handler.real.runs(in: bounds) == handler.simulated.runs(in: bounds) else {
            throw Mismatch(requests: requests, text: "the maps differ")
        }
        try look()
        return requests.count
    }

    /// Runs `body` while both hosts hold pages, each where it may.
    private func holding<Value>(_ ranges: [PageRange], _ body: () throws -> Value) throws -> Value {
        guard let range = ranges.first else { return try body() }
        let disk = Holder(device: "disk", purpose: "DMA")
        let one = try? handler.real.lease(range, .pin, for: disk)
        let other = try? handler.simulated.lease(range, .pin, for: disk)
        let isHeld = one != nil
        let isHeldToo = other != nil
        guard isHeld == isHeldToo else { throw Mismatch(requests: [], text: "one host holds \(range), the other not") }
        let result = Result { try holding(Array(ranges.dropFirst()), body) }
        if let lease = consume one { lease.release() }
        if let lease = consume other { lease.release() }
        return try result.get()
    }

    /// Waits until nothing is pending, in either world.
    private func settle() throws {
        let end = ContinuousClock.now + .seconds(20)
        simulated.executor.drain()
        while !handler.real.pendingTickets.isEmpty {
            guard ContinuousClock.now < end else { throw Mismatch(requests: [], text: "a hand-over does not end") }
            real.executor.drain()
        }
        guard handler.simulated.pendingTickets.isEmpty else {
            throw Mismatch(requests: [], text: "a simulated hand-over does not end")
        }
    }

    /// Has both guests and both hosts look at a page: they find it, or are stopped at it, alike.
    private func look() throws {
        let page = randomPage().address
        guard let agent = real.guestAgent, let other = simulated.guestAgent else { return }
        let found = try agent.perform(.read(count: 1, from: page), on: 0, answeringTo: handler)
        let simulated = try other.perform(.read(count: 1, from: page), on: 0, answeringTo: handler)
        guard Lockstep.isFault(found) == Lockstep.isFault(simulated) else {
            throw Mismatch(requests: [], text: "the guests differ at \(page): \(found), \(simulated)")
        }
        let host = Holder(device: "cpu", purpose: "look")
        func canRead(_ controller: MemoryController) -> Bool {
            var bytes: [UInt8] = [0]
            var span = bytes.mutableSpan
            return (try? controller.read(&span, from: page, for: host)) != nil
        }
        guard canRead(handler.real) == canRead(handler.simulated) else {
            throw Mismatch(requests: [], text: "the hosts differ at \(page)")
        }
    }

    private static func isFault(_ outcome: GuestOutcome) -> Bool { if case .fault = outcome { true } else { false } }

    private static func name(_ reply: GuestReply) -> String {
        switch reply {
        case .done: "done"
        case .retry: "retry"
        case .refused: "refused"
        }
    }

    // MARK: Requests

    private func randomPage() -> PageNumber {
        let region = layout.regions[Int.random(in: 0..<layout.regions.count, using: &random)]
        return PageNumber(region.start.rawValue + UInt64.random(in: 0..<region.count, using: &random))
    }

    private func makeRequest() -> GuestCommand.Request {
        GuestCommand.Request(address: makeAddress(), count: makeCount(), target: makeTarget())
    }

    private func makeAddress() -> UInt64 {
        let page = randomPage().address.rawValue
        switch Int.random(in: 0..<12, using: &random) {
        case 0: return page + UInt64.random(in: 1..<4096, using: &random)
        // Holes, 70 TiB, the end of all addresses, and anything.
        case 1: return UInt64.random(in: 1024..<1640, using: &random) * 4096
        case 2: return 70 << 40
        case 3: return .max - UInt64.random(in: 0..<8192, using: &random)
        case 4: return UInt64.random(in: 0 ... .max, using: &random)
        case 5: return UInt64.random(in: 0 ... .max >> 12, using: &random) << 12
        default: return page
        }
    }

    private func makeCount() -> UInt64 {
        switch Int.random(in: 0..<24, using: &random) {
        case 0: return 0
        case 1: return UInt64.random(in: 1..<8192, using: &random)
        case 2: return 70 << 40
        case 3: return .max
        case 4: return .max - 4095
        case 5: return UInt64.random(in: 0 ... .max, using: &random)
        // Whole pages, and orders.
        case 6: return 4096 << UInt64.random(in: 0..<40, using: &random)
        case 7: return UInt64.random(in: 1..<700, using: &random) * 4096
        default: return UInt64.random(in: 1..<5, using: &random) * 4096
        }
    }

    private func makeTarget() -> UInt64 {
        switch Int.random(in: 0..<40, using: &random) {
        case 0: UInt64.random(in: 0 ... .max, using: &random)
        case 1: UInt64.random(in: 0..<300, using: &random)
        default: UInt64.random(in: 0..<4, using: &random)
        }
    }
}

/// Where the two worlds differ.
private struct Mismatch: Error {
    let requests: [GuestCommand.Request]
    let text: String
}

/// SplitMix64: the same requests in every run.
private struct Random: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}

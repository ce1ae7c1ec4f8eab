import Custody
import CustodyPolicy
import CustodyTestSupport
import CustodyTrace
import SimulationBackend
import Testing

/// A trace plays again the same, or the replay says where it does not.
@Suite struct ReplayTests: ~Copyable {
    let fixture: TraceFixture

    init() throws { fixture = try TraceFixture() }

    private func replay(_ policy: any Policy, _ name: String = "trace.jsonl") throws -> TraceReplay.Report {
        let trace = try #require(try Trace.read(fixture.path(name)).traces.first)
        let backend = SimulationBackend(
            guest: GuestConfiguration(layout: trace.header.layout),
            options: SimulationOptions(latency: .zero),
            ownership: trace.header.ownershipMap
        )
        return try TraceReplay(trace, policy: policy).run(on: backend)
    }

    @Test func theSameRulesDecideTheSame() throws {
        try fixture.record()
        let report = try replay(ProtectedRange(try TraceFixture.range(12, 2), neverBecoming: [.private]))
        #expect(report.difference == nil)
        #expect(report.lines == (try TraceFixture.records(fixture.path()).count) && report.decisions > 5)
    }

    @Test func otherRulesAreFoundAtTheirFirstDecision() throws {
        try fixture.record()
        let difference = try #require(try replay(AllowAll()).difference)
        #expect(difference.expected.hasPrefix("policy: deny") && difference.actual == "policy: allow")
        let lines = try fixture.lines()
        #expect(lines[difference.line - 1].contains("\"verdict\":\"deny\""))
        #expect(difference.description.contains("\(difference.file):\(difference.line): "))
    }

    /// Each line that is something else than what comes of what was asked for is where the replay stops.
    @Test func aLineThatWasChangedIsFound() throws {
        try fixture.record()
        let lines = try fixture.lines()
        let policy = ProtectedRange(try TraceFixture.range(12, 2), neverBecoming: [.private])
        for name in ["decided", "prepared", "committed", "answered", "settled", "closed"] {
            let index = try #require(lines.lastIndex { $0.contains("\"\(name)\":{") })
            var changed = lines
            for (old, new) in [("\"page\":5", "\"page\":6")] { changed[index] = lines[index].replacing(old, with: new) }
            try fixture.write(changed)
            #expect(try replay(policy).difference?.line == index + 1, "\(name)")
        }
    }

    /// What a back end did to the bytes has to be what the same does again.
    @Test func contentsThatAreNotTheSameAreFound() throws {
        try fixture.record()
        let lines = try fixture.lines()
        let index = try #require(
            lines.firstIndex { $0.contains("\"finished\":{") && $0.contains("\"from\":\"shared\"") }
        )
        try fixture.write(lines.map { $0.replacing("\"contents\":\"zeroed\"", with: "\"contents\":\"preserved\"") })
        let difference = try #require(
            try replay(ProtectedRange(try TraceFixture.range(12, 2), neverBecoming: [.private])).difference
        )
        #expect(difference.line == index + 1)
        #expect(difference.expected.hasSuffix("preserved") && difference.actual.hasSuffix("zeroed"), "\(difference)")
        // What another back end does to them is its own affair.
        let preserved = "\"toPrivate\":\"preserved\",\"toShared\":\"preserved\""
        try fixture.write(
            lines.map {
                $0.replacing("\"toPrivate\":\"zeroed\",\"toShared\":\"zeroed\"", with: preserved)
                    .replacing("\"contents\":\"zeroed\"", with: "\"contents\":\"preserved\"")
            }
        )
        #expect(try replay(ProtectedRange(try TraceFixture.range(12, 2), neverBecoming: [.private])).difference == nil)
    }

    /// However many threads have asked and wait for their answers.
    @Test func manyThreadsThatAskAtOncePlayAgain() throws {
        let request = OracleScript.Request(target: "shared")
        let threads = 5_000
        try fixture.record()
        let header = try #require(try fixture.lines().first)
        func line(_ number: Int, _ thread: Int, _ event: String) -> String {
            "{\"n\":\(number),\"seq\":\(number),\"t\":0,\"thread\":\(thread),\(event)}"
        }
        let asked = (1...threads).map { line($0, $0, request.requested) }
        let answers = (1...threads).map { line(threads + $0, $0, request.answered("completed")) }
        let end = OracleScript.closed(0, 16, "shared")
        try fixture.write(
            [header] + asked + answers + ["{\"n\":\(2 * threads + 1),\"t\":0,\"thread\":0,\(end)}"]
        )
        #expect(try TraceFixture.verify(fixture.path()).error == nil)
        let report = try replay(AllowAll())
        #expect(report.difference == nil && report.lines == 2 * threads + 1)
    }

    /// A guest keeps what a change had given it that is taken back because a later one fails: that is what the controller
    /// shows, the trace says and the replay finds.
    @Test func whatAGuestKeptIsSoInTheTraceAndAgain() throws {
        let backend = FakeBackend(inFrontOf: try TraceFixture.backend())
        let writer = try TraceWriter(appendingTo: fixture.path(), header: TraceHeader(of: backend, named: "simulation"))
        let controller = MemoryController(backend: backend, policy: AllowAll(), observer: writer)
        func convert(_ first: UInt64, _ count: UInt64, _ target: Ownership) throws {
            let range = try TraceFixture.range(first, count)
            _ = try controller.convert(ConversionRequest(range, to: target, by: .guest(processor: 0)))
        }
        try convert(0, 2, .host)
        try convert(4, 2, .private)
        let commits = backend.counts.commits
        backend.plan {
            $0.commit[commits + 2] = .fail(BackendError(.system, "EIO"))
            $0.undo[1] = BackendError(.refusedByGuest, "the guest keeps it")
        }
        #expect(throws: ConversionError.self) { try convert(0, 6, .shared) }
        let runs = controller.runs(in: try TraceFixture.range(0, 6))
        #expect(runs.map(\.state) == [.shared, .private])
        #expect(runs.map(\.range) == [try TraceFixture.range(0, 4), try TraceFixture.range(4, 2)])
        #expect(runs.allSatisfy { backend.ownership.isUniform($0.range, $0.state) })
        // And on from there.
        try convert(0, 2, .private)
        try writer.close(ownership: controller.runs(in: controller.layout.bounds))
        let names = try TraceFixture.records(fixture.path()).map(\.event.name)
        #expect(names.count { $0 == "reconnected" } == 1)
        #expect(try TraceFixture.verify(fixture.path()).error?.description == nil)
        #expect(try replay(AllowAll()).difference?.description == nil)
    }

    @Test func whatABackendFoundWhenItCameBackIsFoundAgain() throws {
        let backend = try TraceFixture.backend()
        let writer = try TraceWriter(appendingTo: fixture.path(), header: TraceHeader(of: backend, named: "simulation"))
        let controller = MemoryController(backend: backend, policy: AllowAll(), observer: writer)
        let first = try controller.lease(try TraceFixture.range(0, 1), .pin, for: Holder(device: "net"))
        let second = try controller.lease(try TraceFixture.range(4, 1), .pin, for: Holder(device: "blk"))
        _ = try controller.convert(ConversionRequest(try TraceFixture.range(0, 2), to: .private, by: .host("vmm")))
        _ = try controller.convert(ConversionRequest(try TraceFixture.range(4, 2), to: .private, by: .host("vmm")))
        // The first hand-over's pages are private, one of the second's too, and so is a page that nobody asked about.
        var found = backend.initialOwnership
        found.set(try TraceFixture.range(0, 2), to: .private)
        found.set(try TraceFixture.range(5, 1), to: .private)
        found.set(try TraceFixture.range(9, 1), to: .private)
        controller.backendReconnected(finding: found)
        backend.clock.drain()
        #expect(controller.pendingTickets.isEmpty)
        first.release()
        second.release()
        try writer.close(ownership: controller.runs(in: controller.layout.bounds))
        #expect(try TraceFixture.verify(fixture.path()).error?.description == nil)
        #expect(try replay(AllowAll()).difference?.description == nil)
        let settled = try TraceFixture.records(fixture.path()).filter { $0.event.name == "settled" }
        #expect(settled.count == 2)
    }

    /// Deadlines, time boxes, back-off and vetoes happen at their times again.
    @Test func timeAndVetoesAreThoseOfTheTrace() throws {
        let policy = AllOf([Terms.deadline(.microseconds(40)), Terms.timeBox(.microseconds(30))])
        let backend = try TraceFixture.backend()
        let writer = try TraceWriter(appendingTo: fixture.path(), header: TraceHeader(of: backend, named: "simulation"))
        let controller = MemoryController(backend: backend, policy: policy, observer: writer)
        let listener = Refusing(try TraceFixture.range(3, 1))
        try controller.add(listener)
        func convert(_ range: PageRange, _ target: Ownership) {
            _ = try? controller.convert(ConversionRequest(range, to: target, by: .guest(processor: 0)))
            backend.clock.drain()
        }
        convert(try TraceFixture.range(3, 2), .private)
        convert(try TraceFixture.range(0, 2), .private)
        convert(try TraceFixture.range(0, 1), .shared)
        backend.clock.pass(.microseconds(100))
        let lease = try controller.lease(try TraceFixture.range(8, 1), .pin, for: Holder(device: "net"))
        convert(try TraceFixture.range(8, 1), .private)
        backend.clock.pass(.microseconds(100))
        lease.release()
        backend.clock.drain()
        try writer.close(ownership: controller.runs(in: controller.layout.bounds))
        let names = try TraceFixture.records(fixture.path()).map(\.event.name)
        #expect(names.contains("vetoed") && names.contains("settled"))
        #expect(names.count { $0 == "requested" } == 5)
        #expect(try TraceFixture.verify(fixture.path()).error?.description == nil)
        #expect(try replay(policy).difference?.description == nil)
    }
}

/// A listener that does not let the host lose some pages.
private final class Refusing: OwnershipListener {
    let name = "iommu"
    private let range: PageRange

    init(_ range: PageRange) { self.range = range }

    func prepare(_ change: HostAccessChange) throws(ListenerVeto) {
        if change.range.overlaps(range), !change.isGranted { throw ListenerVeto("in use", isTransient: true) }
    }

    func commit(_ change: HostAccessChange) {}
    func rollBack(_ change: HostAccessChange) {}
}

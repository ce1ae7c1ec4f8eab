import Custody
import CustodyPolicy
import CustodyTelemetry
import InMemoryLogging
import InMemoryTracing
import Logging
import MetricsTestKit
import SimulationBackend
import Testing
import Tracing

/// What a controller does is counted, measured, written and spanned by the ecosystem's interfaces.
@Suite struct TelemetryTests {
    private let backend: SimulationBackend

    init() throws {
        let region = try PageRange(start: PageNumber(0), count: 16)
        backend = SimulationBackend(
            guest: GuestConfiguration(layout: try GuestMemoryLayout(regions: [region])),
            options: SimulationOptions(latency: .zero)
        )
    }

    private func request(_ first: UInt64, _ count: UInt64, _ target: Ownership) throws -> ConversionRequest {
        ConversionRequest(try PageRange(start: PageNumber(first), count: count), to: target, by: .host("vmm"))
    }

    /// A conversion at once, one that a device holds up for 30 µs, one that is denied, one that is withdrawn.
    private func play(_ observer: any ControllerObserver) throws {
        let denied = ProtectedRange(try PageRange(start: PageNumber(12), count: 1), neverBecoming: [.private])
        let controller = MemoryController(backend: backend, policy: denied, observer: observer)
        _ = try controller.convert(try request(0, 2, .private))
        let lease = try controller.lease(
            try PageRange(start: PageNumber(4), count: 1),
            .pin,
            for: Holder(device: "net0", queue: "rx")
        )
        _ = try controller.convert(try request(4, 2, .private))
        _ = try controller.convert(try request(4, 2, .private))
        backend.clock.pass(.microseconds(30))
        lease.release()
        backend.clock.pass(.microseconds(20))
        _ = try? controller.convert(try request(12, 1, .private))
        let second = try controller.lease(
            try PageRange(start: PageNumber(8), count: 1),
            .pin,
            for: Holder(device: "blk")
        )
        _ = try controller.convert(try request(8, 1, .private))
        controller.pendingTickets.first?.cancel()
        second.release()
        _ = controller.handle(GuestRequest(processor: 0, address: 1, byteCount: 1, target: .shared))
        backend.clock.drain()
    }

    @Test func metricsCountWhatHappened() throws {
        let metrics = TestMetrics()
        try play(MetricsObserver(factory: metrics, dimensions: [("guest", "a")]))
        func timer(_ outcome: String, _ by: String) throws -> [Int64] {
            try metrics.expectTimer(
                "custody.conversions",
                [("guest", "a"), ("to", "private"), ("outcome", outcome), ("by", by)]
            ).values
        }
        #expect(try timer("completed", "request") == [0])
        #expect(try timer("completed", "handover") == [30_000])
        #expect(try timer("cancelled", "handover") == [0])
        #expect(try timer("failed", "request") == [0])
        #expect(
            try metrics.expectTimer("custody.handovers.held", [("guest", "a"), ("holder", "net0")]).values == [30_000]
        )
        #expect(try metrics.expectTimer("custody.handovers.held", [("guest", "a"), ("holder", "blk")]).values == [0])
        #expect(try metrics.expectMeter("custody.handovers.pending", [("guest", "a")]).values == [1, 0, 1, 0])
        let bytes = try metrics.expectCounter("custody.bytes", [("guest", "a"), ("from", "shared"), ("to", "private")])
        #expect(bytes.totalValue == 4 * 4096)
        func decisions(_ rule: String, _ verdict: String) throws -> Int64 {
            try metrics.expectCounter("custody.decisions", [("guest", "a"), ("rule", rule), ("verdict", verdict)])
                .totalValue
        }
        #expect(try decisions("none", "allow") == 4)
        #expect(try decisions("protect", "deny") == 1)
        #expect(try metrics.expectCounter("custody.refusals", [("guest", "a"), ("code", "denied")]).totalValue == 1)
        #expect(try metrics.expectCounter("custody.malformed", [("guest", "a")]).totalValue == 1)
    }

    @Test func spansLastFromTheRequestToTheEnd() throws {
        let tracer = InMemoryTracer()
        try play(SpanObserver(tracer))
        let spans = tracer.finishedSpans
        #expect(tracer.activeSpans.isEmpty)
        #expect(spans.allSatisfy { $0.operationName == "custody.conversion" })
        let outcomes = spans.map { "\($0.attributes.get("custody.outcome").map { "\($0)" } ?? "")" }
        let expected = ["completed, 2 pages", "joined #1", "completed, contents zeroed", "denied", "cancelled"]
        #expect(outcomes.count == expected.count)
        for (outcome, text) in zip(outcomes, expected) { #expect(outcome.contains(text)) }
        #expect(spans.map { $0.status?.code } == [nil, nil, nil, .error, nil])
        #expect(
            spans[3].errors.count == 1
                && "\(spans[3].attributes.get("custody.rule") ?? .string(""))".contains("protect")
        )
        #expect("\(spans[2].attributes.get("custody.holders") ?? .string(""))".contains("net0"))
        #expect(spans[2].startInstant.nanosecondsSinceEpoch <= spans[1].startInstant.nanosecondsSinceEpoch)
    }

    @Test func linesHaveLevelsAndMetadata() throws {
        let handler = InMemoryLogHandler()
        var logger = Logger(label: "custody", factory: { _ in handler })
        logger.logLevel = .info
        try play(LogObserver(logger))
        let entries = handler.entries
        #expect(entries.map(\.level) == [.info, .info, .info, .notice, .info, .info, .warning])
        #expect(entries[0].metadata["custody.ticket"] == "#1")
        #expect(entries[0].metadata["custody.holders"] == .array(["net0/rx"]))
        #expect(entries[2].message.description.contains("hand-over #1 completed"))
        #expect(entries[2].metadata["custody.time"] == "30000")
        #expect(entries[3].metadata["custody.code"] == "denied")
        #expect(entries[6].metadata["custody.requester"] == "guest/vcpu0")
        #expect(entries.allSatisfy { $0.metadata["custody.time"] != nil })
    }

    @Test func aLogOfEverythingHasEveryEvent() throws {
        let handler = InMemoryLogHandler()
        var logger = Logger(label: "custody", factory: { _ in handler })
        logger.logLevel = .trace
        let counter = EventCounter()
        try play(ObserverGroup([LogObserver(logger), counter]))
        #expect(handler.entries.count == counter.count && counter.count > 25)
    }
}

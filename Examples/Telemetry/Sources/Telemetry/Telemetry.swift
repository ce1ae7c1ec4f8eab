import Custody
import CustodyPolicy
import CustodyTelemetry
import Logging
import SimulationBackend

/// A guest of 1 MiB whose controller tells a log and a metrics back end what it does.
@main
struct Telemetry {
    static func main() throws {
        let region = try PageRange(address: GuestPhysicalAddress(0), byteCount: 1 << 20)
        let backend = SimulationBackend(guest: GuestConfiguration(layout: try GuestMemoryLayout(regions: [region])))
        let metrics = PrintedMetrics()
        var logger = Logger(label: "guest-a")
        logger.logLevel = .info

        // A tracer is one more observer: SpanObserver(InstrumentationSystem.tracer).
        let controller = MemoryController(
            backend: backend,
            policy: SharedBudget(pages: 200),
            observer: ObserverGroup([
                LogObserver(logger), MetricsObserver(factory: metrics, dimensions: [("guest", "a")]),
            ])
        )

        func convert(_ first: UInt64, _ count: UInt64, _ target: Ownership) throws {
            let pages = try PageRange(start: PageNumber(first), count: count)
            _ = try? controller.convert(ConversionRequest(pages, to: target, by: .guest(processor: 0)))
            backend.clock.drain()
        }

        // Most of it becomes private; a device holds the last pages up for a millisecond; more is shared than may be.
        try convert(0, 128, .private)
        let pin = try controller.lease(
            PageRange(start: PageNumber(128), count: 4),
            .pin,
            for: Holder(device: "virtio-net0", queue: "rx", purpose: "receive buffers")
        )
        try convert(128, 8, .private)
        backend.clock.pass(.milliseconds(1))
        pin.release()
        backend.clock.drain()
        try convert(0, 128, .shared)

        print(metrics.text)
    }
}

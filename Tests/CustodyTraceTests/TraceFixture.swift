import Custody
import CustodyPolicy
import CustodyScenario
import CustodyTrace
import FoundationEssentials
import SimulationBackend
import Testing

/// A folder of traces, and what writes and reads them.
struct TraceFixture: ~Copyable {
    let folder: String

    init() throws {
        folder = FileManager.default.temporaryDirectory.path() + "/custody-trace-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func path(_ name: String = "trace.jsonl") -> String { "\(folder)/\(name)" }

    func bytes(_ name: String = "trace.jsonl") throws -> [UInt8] {
        [UInt8](try #require(FileManager.default.contents(atPath: path(name))))
    }

    func lines(_ name: String = "trace.jsonl") throws -> [String] {
        String(decoding: try bytes(name), as: UTF8.self).split(separator: "\n").map(String.init)
    }

    func write(_ bytes: some Sequence<UInt8>, as name: String = "trace.jsonl") throws {
        try Data(bytes).write(to: URL(filePath: path(name)))
    }

    func write(_ lines: [String], as name: String = "trace.jsonl") throws {
        try write(lines.map { $0 + "\n" }.joined().utf8, as: name)
    }

    /// A guest of 16 pages at 2 MiB.
    static func backend(_ options: SimulationOptions = SimulationOptions()) throws -> SimulationBackend {
        let region = try PageRange(address: GuestPhysicalAddress(2 << 20), byteCount: 16 * 4096)
        return SimulationBackend(
            guest: GuestConfiguration(layout: try GuestMemoryLayout(regions: [region])),
            options: options
        )
    }

    static func range(_ first: UInt64, _ count: UInt64) throws -> PageRange {
        try PageRange(start: PageNumber(512 + first), count: count)
    }

    /// What every kind of line can come from: conversions, hand-overs that end in different ways, refusals, faults.
    @discardableResult
    func record(
        _ name: String = "trace.jsonl",
        options: TraceWriterOptions = TraceWriterOptions()
    ) throws -> [ControllerEvent] {
        let backend = try TraceFixture.backend(
            SimulationOptions(faults: [Fault(at: .commit, occurrence: 3, .fail(.resourcesExhausted))])
        )
        let writer = try TraceWriter(
            appendingTo: path(name),
            header: TraceHeader(of: backend, named: "simulation", configuration: "{\"policy\": {}}"),
            options: options
        )
        let recorder = Recorder()
        let controller = MemoryController(
            backend: backend,
            policy: ProtectedRange(try TraceFixture.range(12, 2), neverBecoming: [.private]),
            observer: ObserverGroup([recorder, writer])
        )
        func convert(_ first: UInt64, _ count: UInt64, _ target: Ownership, deadline: Duration? = nil) throws {
            _ = try? controller.convert(
                ConversionRequest(
                    try TraceFixture.range(first, count),
                    to: target,
                    by: .host("vmm"),
                    whenHeld: .handOver(deadline: deadline)
                )
            )
            backend.clock.drain()
        }
        let holder = Holder(device: "net \"0\"", queue: "rx", process: 7, purpose: "lines\nand ‘quotes’")
        try convert(0, 4, .private)
        try convert(12, 1, .private)
        let lease = try controller.lease(try TraceFixture.range(4, 2), .pin, for: holder)
        try convert(4, 4, .private)
        lease.release()
        backend.clock.drain()
        // The third commit fails.
        try convert(8, 1, .private)
        let second = try controller.lease(try TraceFixture.range(9, 1), .pin, for: holder)
        try convert(9, 1, .private, deadline: .microseconds(5))
        backend.clock.pass(.microseconds(10))
        try convert(9, 1, .private)
        controller.pendingTickets.first?.cancel()
        second.release()
        _ = try? controller.lease(try TraceFixture.range(0, 1), .access, for: holder)
        controller.mark("launched")
        try? controller.discard(try TraceFixture.range(0, 1))
        _ = controller.handle(GuestRequest(processor: 0, address: 1, byteCount: 3, target: .shared))
        _ = controller.handle(GuestRequest(processor: 0, address: 2 << 20, byteCount: 8 * 4096, target: .shared))
        backend.clock.drain()
        try writer.close(ownership: controller.runs(in: controller.layout.bounds))
        return recorder.events
    }

    /// The lines of a file, and what was skipped at its end.
    static func read(_ path: String) throws -> (lines: [TraceReader.Line], torn: TraceError?) {
        var reader = try TraceReader(path)
        var lines: [TraceReader.Line] = []
        while true {
            do throws(TraceError) {
                guard let line = try reader.next() else { return (lines, reader.tornLine) }
                lines.append(line)
            } catch {
                // A file with nothing but a torn line is no trace yet; a writer goes on with it.
                guard lines.isEmpty, reader.tornLine != nil else { throw error }
            }
        }
    }

    static func records(_ path: String) throws -> [TraceRecord] {
        try read(path).lines.compactMap { line in
            if case .record(let record) = line { record } else { nil }
        }
    }

    static func verify(_ path: String, acceptsOpenEnd: Bool = false) throws -> TraceVerifier.Report {
        try TraceVerifier(path, acceptsOpenEnd: acceptsOpenEnd).verify()
    }
}

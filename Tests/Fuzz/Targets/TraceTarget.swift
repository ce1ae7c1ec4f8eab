import Custody
import CustodyOptions
import CustodyConfiguration
import CustodyPolicy
import CustodyTool
import CustodyTrace
import Foundation
import SimulationBackend

enum TraceTarget {
    private static let folder =
        FileManager.default.temporaryDirectory.path()
        + "/custody-fuzz-\(ProcessInfo.processInfo.processIdentifier)-\(UUID().uuidString)"

    static func run(_ bytes: [UInt8]) throws(FuzzTarget.Failure) {
        let path = folder + "/t.jsonl"
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try Data(bytes).write(to: URL(filePath: path))
            defer { try? FileManager.default.removeItem(atPath: folder) }
            read(path)
            for acceptsOpenEnd in [false, true] {
                _ = try TraceVerifier(path, acceptsOpenEnd: acceptsOpenEnd).verify()
            }
            for line in [nil, 2, 5] { draw(path, line) }
            try replay(path)
        } catch let failure as FuzzTarget.Failure {
            throw failure
        } catch is TraceError {
            // A trace that is wrong is an error.
        } catch {
            throw FuzzTarget.Failure(description: "\(error)")
        }
    }

    /// Every line, and all that is said of one.
    private static func read(_ path: String) {
        var statistics = TraceStatistics()
        guard var reader = try? TraceReader(path) else { return }
        while true {
            do throws(TraceError) {
                guard let line = try reader.next() else { break }
                statistics.add(line)
                if case .record(let record) = line {
                    _ = "\(record.event)".count + record.event.actors.count + record.event.ranges.count
                }
            } catch { continue }
        }
        for sample in statistics.latencies.values { _ = sample.sum.text + sample.percentile(99).text }
        for sample in statistics.waits.values { _ = sample.sum.text + sample.percentile(50).text }
        _ = statistics.span.text
    }

    private static func draw(_ path: String, _ line: Int?) {
        guard var account = try? TraceAccount(path, line: line), (try? account.read()) != nil else { return }
        _ = Drawing.all(of: account)
    }

    private static func replay(_ path: String) throws {
        for trace in try Trace.read(path).traces.prefix(4) {
            let backend = SimulationBackend(
                guest: GuestConfiguration(layout: trace.header.layout),
                options: SimulationOptions(latency: .zero),
                ownership: trace.header.ownershipMap
            )
            defer { backend.shutDown() }
            let rules = try? trace.header.configuration.map { text throws(ConfigurationError) in
                try Configuration(
                    withoutFiles: YAMLReader.read(text, file: "rules"),
                    registry: BackendRegistry([SimulationProvider()])
                )
            }
            _ = try TraceReplay(
                trace,
                policy: rules?.policy ?? AllowAll(),
                limits: rules?.limits ?? ControllerLimits()
            ).run(on: backend)
        }
    }
}

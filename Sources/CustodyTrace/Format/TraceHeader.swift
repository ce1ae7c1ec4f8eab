public import Custody
#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The first line of a trace: what must be known to understand the lines after it, and to play them again.
///
/// A file has one at its beginning, and one more wherever a writer went on with a file that was there.
public struct TraceHeader: Sendable, Equatable, Codable {
    /// The version of the form that this code writes, and the only one that it reads.
    public static let version = 1

    /// The version of the form.
    public let version: Int
    /// The name of the back end, as a configuration has it.
    public let backend: String
    /// When the trace begins, by the wall clock, as ISO 8601 has it. The times of the lines are those of the back end.
    public let started: String
    /// Where the guest has RAM, and the unit of its ownership.
    public let layout: GuestMemoryLayout
    /// What the back end can do.
    public let capabilities: Capabilities
    /// The ownership of all RAM in the beginning, from low to high.
    public let ownership: [PageRun<Ownership>]
    /// The sections of the configuration that decide (policy, limits, guest) as JSON text; `nil` where the rules are not
    /// from a configuration. Whoever reads it uses the reader of configurations.
    public let configuration: String?
    /// The number of bytes of a torn line that the writer found at the end of the file and cut off.
    public internal(set) var repairedBytes: Int?
    /// The number of the line that follows, where the file goes on with a trace that another file begins.
    public internal(set) var continues: UInt64?

    private enum CodingKeys: String, CodingKey {
        case version = "custodyTrace"
        case backend, started, layout, capabilities, ownership, configuration, repairedBytes, continues
    }

    /// The header of a trace of a back end that has not changed anything yet, beginning now.
    public init(of backend: any MemoryBackend, named name: String, configuration: String? = nil) {
        version = TraceHeader.version
        self.backend = name
        started = Date.now.formatted(.iso8601)
        layout = backend.layout
        capabilities = backend.capabilities
        ownership = backend.layout.regions.flatMap { backend.initialOwnership.runs(in: $0) }
        self.configuration = configuration
    }

    /// Reads a header.
    ///
    /// - Throws: `DecodingError` for another version, or an ownership that is not that of all RAM.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        version = try container.decode(Int.self, forKey: .version)
        guard version == TraceHeader.version else {
            let text = "version \(version) of a trace is not version \(TraceHeader.version)"
            throw DecodingError.dataCorruptedError(forKey: .version, in: container, debugDescription: text)
        }
        backend = try container.decode(String.self, forKey: .backend)
        started = try container.decode(String.self, forKey: .started)
        layout = try container.decode(GuestMemoryLayout.self, forKey: .layout)
        capabilities = try container.decode(Capabilities.self, forKey: .capabilities)
        ownership = try container.decode([PageRun<Ownership>].self, forKey: .ownership)
        configuration = try container.decodeIfPresent(String.self, forKey: .configuration)
        repairedBytes = try container.decodeIfPresent(Int.self, forKey: .repairedBytes)
        continues = try container.decodeIfPresent(UInt64.self, forKey: .continues)
        guard layout.isCovered(by: ownership), !ownership.contains(where: { $0.state == .inTransit }) else {
            let text = "the ownership is not that of all RAM, from low to high, with nothing in transit"
            throw DecodingError.dataCorruptedError(forKey: .ownership, in: container, debugDescription: text)
        }
    }

    /// The ownership in the beginning as a map; holes are shared in it.
    public var ownershipMap: PageRunMap<Ownership> {
        var map = PageRunMap(bounds: layout.bounds, state: Ownership.shared)
        for run in ownership { map.set(run.range, to: run.state) }
        return map
    }
}

extension GuestMemoryLayout {
    /// Whether the runs, one after the other, are the regions: nothing twice, nothing left out.
    func isCovered(by runs: [PageRun<Ownership>]) -> Bool {
        var index = 0
        for region in regions {
            var page = region.start.rawValue
            while page < region.end {
                guard index < runs.count, runs[index].range.start.rawValue == page, runs[index].range.end <= region.end
                else { return false }
                page = runs[index].range.end
                index += 1
            }
        }
        return index == runs.count
    }
}

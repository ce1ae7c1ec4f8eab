import Foundation
import Testing

/// A folder of files for the tool, and its runs there.
struct ToolFixture: ~Copyable {
    let folder: String

    init() throws {
        folder = FileManager.default.temporaryDirectory.path() + "/custody-tool-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func path(_ name: String) -> String { "\(folder)/\(name)" }

    func write(_ text: String, as name: String) throws {
        try Data(text.utf8).write(to: URL(filePath: path(name)))
    }

    func text(_ name: String) throws -> String {
        String(decoding: try #require(FileManager.default.contents(atPath: path(name))), as: UTF8.self)
    }

    func run(_ script: String) throws -> ToolRun { try ToolRun(script, in: folder) }

    /// A folder with what commands read: a configuration, a trace and a snapshot.
    static func withFiles() throws -> ToolFixture {
        let fixture = try ToolFixture()
        try fixture.write("backend: simulation\nguest: {memory: [{at: 2MiB, size: 64MiB}]}\n", as: "vm.yaml")
        let made = try fixture.run("custody run --trace t.jsonl --snapshot s.json")
        #expect(made.code == 0, "\(made.errorText)")
        return fixture
    }

    /// The header of a trace of a simulation with so many pages from the first on, with more keys.
    static func header(pages: UInt64, _ more: String = "") -> String {
        let range = #"{"count":\#(pages),"page":0}"#
        return #"{"backend":"simulation","capabilities":{"contents":{"toHost":"zeroed","toPrivate":"zeroed","#
            + #""toShared":"zeroed"},"dirtyLog":"none","enforcement":"process","granularity":4096,"#
            + #""hostUnit":"granularity","hotplug":false,"maximumGuestBytes":4503599627370496,"maximumProcessors":1024,"#
            + #""pendingHandovers":"ledger+backend","populate":false,"reclaim":"offeredByGuest","#
            + #""takesRequestsBack":true,"transitAccess":"asBefore"},\#(more)"custodyTrace":1,"#
            + #""layout":{"granularity":4096,"regions":[\#(range)]},"#
            + #""ownership":[{"range":\#(range),"state":"shared"}],"started":"2026-11-30T20:46:25Z"}"# + "\n"
    }
}

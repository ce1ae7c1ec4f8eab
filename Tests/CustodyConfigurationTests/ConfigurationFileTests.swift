import Custody
import CustodyConfiguration
import FoundationEssentials
import Testing

@Suite struct ConfigurationFileTests {
    private func withFile(_ bytes: [UInt8], _ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory
        let path = folder.appendingPathComponent("custody-\(UUID().uuidString).yaml").path
        try Data(bytes).write(to: URL(filePath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(path)
    }

    private func error(_ path: String) -> ConfigurationError? {
        do throws(ConfigurationError) { _ = try ConfigurationFile.read(path) } catch { return error }
        return nil
    }

    @Test func whatIsWrittenIsRead() throws {
        try withFile(Array("a".utf8)) { path in
            let text = try ConfigurationFile.read(path).text
            #expect(text == "a")
        }
    }

    @Test func whatCannotBeReadIsAnErrorWithTheFile() throws {
        #expect(error("/nonexistent/vm.yaml")?.location.file == "/nonexistent/vm.yaml")
        #expect(error("/") != nil)
        try withFile([0x61, 0x3a, 0x20, 0xff, 0xfe, 0x0a]) { path in
            #expect(error(path)?.location.file == path, "invalid UTF-8")
        }
        try withFile([UInt8](repeating: 0x61, count: 3 << 20)) { #expect(error($0) != nil, "too large") }
    }

    @Test func namesAreRelativeToTheFile() {
        #expect(ConfigurationFile.resolve("b.yaml", in: "/etc/vm/a.yaml") == "/etc/vm/b.yaml")
        #expect(ConfigurationFile.resolve("/b.yaml", in: "/etc/vm/a.yaml") == "/b.yaml")
        #expect(ConfigurationFile.resolve("b.yaml", in: "a.yaml") == "b.yaml")
    }
}

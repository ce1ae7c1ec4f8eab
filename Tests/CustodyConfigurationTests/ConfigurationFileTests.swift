import Custody
import CustodyOptions
import CustodyConfiguration
import CustodyPolicy
import FoundationEssentials
import SimulationBackend
import SystemPackage
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

    @Test func aPolicyIsInTheFileThatIsNamed() throws {
        try withFile(Array("protect: [{at: 0, size: 4KiB, never: private}]\n".utf8)) { policy in
            let name = FilePath(policy).lastComponent?.string ?? ""
            let text = "backend: simulation\nguest: {memory: [{at: 0, size: 1MiB}]}\npolicy: \(name)\n"
            try withFile(Array(text.utf8)) { path in
                let registry = BackendRegistry([SimulationProvider()])
                let configuration = try Configuration(ConfigurationFile.read(path), registry: registry)
                let backend = try configuration.makeBackend()
                let controller = MemoryController(backend: backend, policy: configuration.policy)
                let request = GuestRequest(processor: 0, address: 0, byteCount: 4096, target: .private)
                #expect(controller.handle(request) == .refused)
            }
        }
    }

    @Test func aPolicyFileThatIsNotThereIsAnErrorWhereItIsNamed() throws {
        let text = "backend: simulation\nguest: {memory: [{at: 0, size: 1MiB}]}\npolicy: no-such.yaml\n"
        try withFile(Array(text.utf8)) { path in
            let error = #expect(throws: ConfigurationError.self) {
                try Configuration(ConfigurationFile.read(path), registry: BackendRegistry([SimulationProvider()]))
            }
            #expect(error?.location == SourceLocation(file: path, line: 3, column: 9))
            #expect(error?.message.contains("no-such.yaml cannot be read") == true)
        }
    }

    @Test func anErrorInAPolicyFileIsInThatFile() throws {
        try withFile(Array("\nprotcet: []\n".utf8)) { policy in
            let text = "backend: simulation\nguest: {memory: [{at: 0, size: 1MiB}]}\npolicy: \(policy)\n"
            let error = #expect(throws: ConfigurationError.self) {
                try Configuration(
                    YAMLReader.read(text, file: "vm.yaml"),
                    registry: BackendRegistry([SimulationProvider()])
                )
            }
            #expect(error?.location == SourceLocation(file: policy, line: 2, column: 1, isIncluded: true))
        }
    }
}

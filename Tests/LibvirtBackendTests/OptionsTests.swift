#if Libvirt
import Custody
import Foundation
import Glibc
import Testing

@testable import LibvirtBackend

/// What a configuration may say, and what it may not.
@Suite(.timeLimit(.minutes(15))) struct OptionsTests {
    private func options(_ key: String, _ value: String) throws -> LibvirtOptions {
        try LibvirtOptions(
            ConfigurationSection(at: SourceLocation(file: "guest.yaml", line: 1, column: 1))
                .setting(key, to: value, origin: "option")
        )
    }

    /// These go into the configuration of libvirt's driver, as they are.
    @Test(arguments: ["root", "memory"])
    func aPathThatCannotBeWrittenDownIsRefusedInItsPlace(key: String) throws {
        let fit = try options(key, "/dev/shm/it's a ‘place’")
        #expect([fit.root, fit.memory].contains("/dev/shm/it's a ‘place’"))
        for (path, flaw) in [
            ("relmem", "must be absolute"), ("", "is empty"), ("/a\"b", "must have no quotation marks"),
            ("/a\nuser = \"root\"", "must have no quotation marks"), ("/a\u{7f}", "must have no quotation marks"),
        ] {
            let error = #expect(throws: ConfigurationError.self) { _ = try options(key, path) }
            #expect(error?.message.hasPrefix("‘\(key)’ \(flaw)") == true, "\(error as Any)")
            #expect(error?.location.file == "option")
        }
    }

    /// Nor by who makes the options himself.
    @Test(arguments: ["relmem", "/dev/shm/a\"b"])
    func theDriversConfigurationStaysWhole(memory: String) {
        let root = EmbeddedRoot("/tmp/custody-options-\(getpid())", memory: memory)
        let error = #expect(throws: BackendError.self) { try root.prepare() }
        #expect(error?.code == .invalidArgument)
        #expect(!FileManager.default.fileExists(atPath: root.path))
    }

    @Test func aMissingUserIsNamedWithItsRemedy() throws {
        let error = EmbeddedRoot.obstacle(user: "custody-nobody-has-this")
        #expect((error == nil) == (geteuid() != 0))
        guard let error else { return }
        #expect(error.code == .unavailable)
        #expect(error.message.contains("needs the user ‘custody-nobody-has-this’: useradd --system"))
    }
}

#endif

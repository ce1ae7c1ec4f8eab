#if Libvirt
import Custody
import CustodyTestSupport
import Foundation
import Glibc
import Testing

@testable import LibvirtBackend

/// Names that anybody could have laid out before are not trusted.
@Suite(.timeLimit(.minutes(60))) struct OwnDirectoryTests: ~Copyable {
    private let folder: String

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(component: "custody-\(UUID())").path
        try OwnDirectory(folder, gate: OpenGate())
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private func mode(_ path: String) -> mode_t {
        var status = stat()
        unsafe lstat(path, &status)
        return status.st_mode & 0o777
    }

    @Test func whatIsNotThereIsMade() throws {
        try OwnDirectory(folder + "/a/b", gate: OpenGate())
        #expect(mode(folder + "/a/b") == 0o700)
        // And is trusted from then on; others may be let through, which is not taken back.
        try OwnDirectory(folder + "/a/b", mode: 0o711, gate: OpenGate())
        #expect(mode(folder + "/a/b") == 0o711)
        try OwnDirectory(folder + "/a/b", gate: OpenGate())
        #expect(mode(folder + "/a/b") == 0o711)
    }

    /// The end of the last guest takes a directory away that the next one is being made in.
    @Test func whatIsTakenAwayMeanwhileIsMadeAgain() throws {
        let folder = folder
        let gate = MeanwhileGate()
        gate.doOnce(after: .host(.mkdir)) { #expect(unsafe rmdir(folder + "/a") == 0) }
        try OwnDirectory(folder + "/a/b", gate: gate)
        #expect(gate.isDone)
        #expect(mode(folder + "/a/b") == 0o700)
        let other = MeanwhileGate()
        other.doOnce(after: .host(.mkdir)) { #expect(unsafe rmdir(folder + "/c") == 0) }
        try OwnDirectory(folder + "/c", gate: other)
        #expect(other.isDone)
        #expect(mode(folder + "/c") == 0o700)
    }

    /// What an attacker may do with a name in a directory that everybody may write to.
    private enum Trap: String, CaseIterable, Sendable {
        case link, writable, grouped, file
        /// Root alone can make one.
        case foreign

        func lay(_ path: String) throws {
            switch self {
            case .link:
                #expect(unsafe mkdir(path + "-target", 0o700) == 0)
                #expect(unsafe symlink(path + "-target", path) == 0)
            case .writable, .grouped:
                #expect(unsafe mkdir(path, 0o700) == 0)
                #expect(unsafe chmod(path, self == .writable ? 0o707 : 0o770) == 0)
            case .file: try Data().write(to: URL(filePath: path))
            case .foreign:
                #expect(unsafe mkdir(path, 0o700) == 0)
                #expect(unsafe chown(path, 65534, 65534) == 0)
            }
        }

        var reason: String {
            switch self {
            case .link, .file: "is no directory"
            case .writable, .grouped: "can be written to by others"
            case .foreign: "belongs to the user 65534"
            }
        }
    }

    @Test func whatSomebodyElseMayHaveLaidOutIsRefused() throws {
        for trap in Trap.allCases where trap != .foreign || geteuid() == 0 {
            let path = folder + "/" + trap.rawValue
            try trap.lay(path)
            let error = #expect(throws: BackendError.self) { try OwnDirectory(path, gate: OpenGate()) }
            #expect(error?.code == .accessDenied)
            #expect(
                error?.message.hasPrefix("‘\(path)’ \(trap.reason): it must be") == true,
                "\(trap): \(error as Any)"
            )
        }
    }

    /// The directories of the driver, whose configuration names programs, and of the memory.
    @Test(arguments: ["root", "root/etc", "memory"])
    func aDriverIsNotSetUpInATrap(place: String) throws {
        // The places are tried beside each other.
        let label = "\(getpid())-\(place.replacing("/", with: "-"))"
        for trap in Trap.allCases where trap != .foreign || geteuid() == 0 {
            let base = "\(folder)/\(trap.rawValue)"
            #expect(unsafe mkdir(base, 0o700) == 0)
            if place == "root/etc" { #expect(unsafe mkdir(base + "/root", 0o700) == 0) }
            try trap.lay("\(base)/\(place)")
            let root = EmbeddedRoot("/tmp/custody-own-\(label)", memory: base + "/memory")
            // A path that is short enough is a link to the place: what is looked at is what it names.
            let short = "/tmp/c-\(label)-\(trap.rawValue)"
            #expect(unsafe symlink(base, short) == 0)
            defer {
                unsafe unlink(short)
                try? FileManager.default.removeItem(atPath: root.path)
            }
            let error = #expect(throws: BackendError.self) {
                try (place == "memory" ? root : EmbeddedRoot(short + "/root", memory: base + "/memory")).prepare()
            }
            #expect(error?.code == .accessDenied, "\(place), \(trap): \(error as Any)")
            #expect(!FileManager.default.fileExists(atPath: "\(base)/\(place)/qemu.conf"))
        }
    }

    /// The memory files of a guest are not made where somebody else waits for them, and no link is followed to one.
    @Test func aGuestsMemoryIsNotPutIntoATrap() throws {
        let target = folder + "/target"
        try Data([1, 2, 3]).write(to: URL(filePath: target))
        #expect(unsafe symlink(target, folder + "/0") == 0)
        let error = #expect(throws: HostError.self) {
            _ = try ModuleFile(path: folder + "/0", size: 1 << 20, gate: OpenGate())
        }
        #expect(error?.errno == ELOOP)
        #expect(try Data(contentsOf: URL(filePath: target)) == Data([1, 2, 3]))

        let trap = folder + "/trap"
        #expect(unsafe mkdir(folder + "/theirs", 0o700) == 0)
        #expect(unsafe symlink(folder + "/theirs", trap) == 0)
        let refusal = #expect(throws: BackendError.self) {
            _ = try FolderLock(trap, patience: .zero, gate: OpenGate())
        }
        #expect(refusal?.code == .accessDenied)
        #expect(refusal?.message.contains(trap) == true)
        #expect(throws: HostError.self) { _ = try FolderLock(existing: trap, gate: OpenGate()) }
    }
}

#endif

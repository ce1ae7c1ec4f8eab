#if Libvirt
import Custody
import CustodyPolicy
import Foundation
import Glibc
import GuestChannel
import Testing

@testable import LibvirtBackend

/// The file that is guarded is the file that the guest has, and one back end at a time has it.
@Suite(.timeLimit(.minutes(60))) struct WhoseFileTests {
    private static func identity(_ path: String) throws -> String {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { throw Errno(path) }
        return "inode \(status.st_ino)"
    }

    private struct Errno: Error {
        let path: String
        let number = errno
        init(_ path: String) { self.path = path }
    }

    /// Puts another file of the same size in the place of one.
    private static func replace(_ path: String) throws {
        let other = path + ".other"
        try Data(count: 4 << 20).write(to: URL(filePath: other))
        guard unsafe rename(other, path) == 0 else { throw Errno(path) }
    }

    /// Another one of the same domain is refused, who has it is named, and nothing is done to files and domain.
    @Test func aDomainHasOneBackEndAtATime() throws {
        let live = try LiveGuest("one", initial: .shared)
        let address = live.module().address
        try live.controller.write([7].span, to: address, for: Holder(device: "test"))
        let files = try FileManager.default.contentsOfDirectory(atPath: live.backend.folders.ours).sorted()
        let before = try WhoseFileTests.identity(live.backend.folders.path(of: 0))
        let error = #expect(throws: BackendError.self) {
            _ = try LiveGuest("one", initial: .shared, patience: .milliseconds(50))
        }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("(pid \(getpid()))") == true, "\(error as Any)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: live.backend.folders.ours).sorted() == files)
        #expect(try WhoseFileTests.identity(live.backend.folders.path(of: 0)) == before)
        #expect(try live.perform(.read(count: 1, from: address)) == .bytes([7]))
        // Whoever comes when it is gone has it.
        live.backend.abandon()
        let second = try LiveGuest("one", initial: .shared)
        #expect(second.ownership == [.shared])
    }

    /// The file that the process before made has another one in its place: what would be guarded the guest does not have.
    @Test func aFileThatTheGuestDoesNotHaveIsNotTaken() throws {
        let first = try LiveGuest("other-file", initial: .shared, isOwner: false)
        let path = first.backend.folders.path(of: 0)
        let real = try WhoseFileTests.identity(path)
        first.backend.abandon()
        try WhoseFileTests.replace(path)
        let wrong = try WhoseFileTests.identity(path)
        let error = #expect(throws: BackendError.self) { _ = try LiveGuest("other-file", initial: .shared) }
        #expect(error?.code == .lost)
        #expect(error?.message.contains(real) == true && error?.message.contains(wrong) == true, "\(error as Any)")
        // The guest runs on, and is found again when the file is there again: libvirt has a name of it, too.
        #expect(unsafe unlink(path) == 0)
        let second = try LiveGuest("other-file", initial: .shared)
        #expect(second.ownership == [.shared])
        #expect(try WhoseFileTests.identity(path) == real)
    }

    /// A name that stands for another file by the time that the module is plugged in is not what is plugged in.
    @Test func aModuleIsMadeOfTheFileThatIsOpen() throws {
        let live = try LiveGuest("renamed")
        let path = live.backend.folders.path(of: 0)
        try live.controller.write([7].span, to: live.module().address, for: Holder(device: "test"))
        #expect(unsafe rename(path, path + ".moved") == 0)
        try Data(count: 4 << 20).write(to: URL(filePath: path))
        try live.convert(live.module(), to: .shared)
        #expect(try live.perform(.read(count: 1, from: live.module().address)) == .bytes([7]))
        #expect(unsafe unlink(path + ".moved") == 0)
    }

    /// A module that is on its way out is not there any more, and nobody else's file is: that is no loss.
    @Test func aModuleThatIsGoneIsNoOtherFile() throws {
        let live = try LiveGuest("on-its-way")
        let (module, emulator) = (live.backend.modules[0], live.backend.emulator)
        func check() throws(BackendError) { try module.check(live.backend.domain, runBy: emulator, gate: OpenGate()) }
        let error = #expect(throws: BackendError.self) { try check() }
        #expect(error?.code == .busy)
        #expect(error?.message.contains("has no memory there") == true)
        try live.convert(live.module(), to: .shared)
        try check()
    }

    /// Libvirt's name stands for another file when QEMU opens it: the guest does not keep such a module.
    @Test func aModuleOfAnotherFileIsTakenOut() throws {
        let gate = MeanwhileGate()
        let live = try LiveGuest("swapped", gate: gate)
        try live.answerRemovals(.accept)
        let name = live.backend.folders.name(of: live.backend.modules[0])
        gate.doOnce(after: .host(.link)) { try? WhoseFileTests.replace(name) }
        let error = #expect(throws: ConversionError.self) { try live.request(live.module(), to: .shared) }
        #expect(gate.isDone)
        #expect(error?.cause?.code == .system)
        let ours = try WhoseFileTests.identity(live.backend.folders.path(of: 0))
        #expect(error?.cause?.message.contains(ours) == true, "\(error as Any)")
        #expect(error?.cause?.message.contains("QEMU (pid \(live.backend.emulator)) has inode") == true)
        #expect(try live.plugged() == [])
        #expect(live.ownership == [.host])
        // And the next attempt is not in its way.
        try live.convert(live.module(), to: .shared)
        #expect(live.ownership == [.shared])
    }

    /// Where the guest keeps it nothing is known of its memory any more.
    @Test func aGuestThatKeepsAModuleOfAnotherFileIsLost() throws {
        let gate = MeanwhileGate()
        let live = try LiveGuest("keeps-other", gate: gate, patience: .milliseconds(100))
        let name = live.backend.folders.name(of: live.backend.modules[0])
        gate.doOnce(after: .host(.link)) { try? WhoseFileTests.replace(name) }
        let error = #expect(throws: ConversionError.self) { try live.request(live.module(), to: .shared) }
        #expect(error?.cause?.code == .lost)
        #expect(error?.cause?.message.contains("keeps the module") == true)
        #expect(try live.plugged() == [0])
        let refusal = #expect(throws: ConversionError.self) { try live.request(live.module(), to: .private) }
        #expect(refusal?.cause?.code == .lost)
    }

    /// Libvirt looks for the files of modules where the configuration says, and a domain that runs has them where that was.
    @Test func anotherDirectoryOfMemoryIsRefusedByItsKey() throws {
        let first = try LiveGuest("moved", initial: .shared, isOwner: false)
        first.backend.abandon()
        let error = #expect(throws: BackendError.self) {
            _ = try LiveGuest("moved", initial: .shared) { $0.memory = TestRoot.root.path + "/elsewhere" }
        }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("‘memory’") == true, "\(error as Any)")
        try TestRoot.root.prepare()
        let second = try LiveGuest("moved", initial: .shared)
        #expect(second.ownership == [.shared])
    }

    /// What a domain left that has ended without a back end goes with the next start of any; what has an owner stays.
    @Test func leftoversAreTakenAway() throws {
        // A process that is gone has nothing open, as this back end has not at the end of the function.
        let (folder, name) = try {
            let first = try LiveGuest("leftover", modules: [4, 1], initial: .shared, isOwner: false)
            first.backend.abandon()
            return (first.backend.folders.ours, first.name)
        }()
        let other = try LiveGuest("neighbour", initial: .shared)
        // Its guest runs: the files are not nobody's.
        _ = try LiveGuest("start-1", modules: [1])
        #expect(FileManager.default.fileExists(atPath: folder + "/0"))
        try TestRoot.connect().domain(named: name)?.end()
        #expect(
            LiveGuest.waits {
                _ = try LiveGuest("start-2", modules: [1])
                return !FileManager.default.fileExists(atPath: folder)
            }
        )
        #expect(FileManager.default.fileExists(atPath: other.backend.folders.path(of: 0)))
    }

    /// A domain that was made by another configuration is not gone on with: the key is named, and so is the way out.
    @Test func aChangedConfigurationIsRefusedByItsKey() throws {
        let pool = try ElasticPoolConfiguration(
            PageRange(address: GuestPhysicalAddress(8 << 30), byteCount: 64 << 20)
        )
        let all: [UInt64] = [1, 1, 1]
        func linux(_ change: @escaping (inout LibvirtOptions) -> Void) -> (inout LibvirtOptions) -> Void {
            { options in
                options.guest = .linux
                change(&options)
            }
        }
        let changes: [(String, [UInt64], Int, (inout LibvirtOptions) -> Void)] = [
            ("guest.memory", [1], 1, { _ in }),
            ("guest.memory", [1, 1, 2], 1, { _ in }),
            ("guest.processors", all, 2, { _ in }),
            ("guest", all, 1, linux { _ in }),
            ("base-memory", all, 1, { $0.baseMemory = ByteCount(32 << 20) }),
            ("overcommit", all, 1, { $0.overcommits = true }),
            ("initial", all, 1, { $0.initial = .host }),
            ("kernel", all, 1, linux { $0.kernel = "/vmlinuz" }),
            ("initrd", all, 1, linux { $0.initrd = "/initrd" }),
            ("command-line", all, 1, linux { $0.commandLine = "quiet" }),
            ("accelerator", all, 1, { $0.usesKVM = true }),
            ("elastic-pools", all, 1, { $0.elasticPools = [pool] }),
            ("balloon", all, 1, { $0.hasBalloon = true }),
            ("launch-security", all, 1, { $0.launchSecurity = .sev(LaunchSecurity.SEV(policy: 7)) }),
        ]
        let first = try LiveGuest("fewer", modules: [1, 1, 1], initial: .shared, isOwner: false)
        let (folder, emulator) = (first.backend.folders.ours, first.backend.emulator)
        first.backend.abandon()
        for (key, modules, processors, change) in changes {
            let error = #expect(throws: BackendError.self) {
                _ = try LiveGuest("fewer", modules: modules, processors: processors, initial: .shared, change)
            }
            #expect(error?.code == .unavailable)
            #expect(error?.message.contains("‘\(key)’ is ") == true, "\(error as Any)")
            #expect(error?.message.contains("‘fresh: true’") == true)
            #expect(LiveGuest.isAlive(emulator))
        }
        // Made anew it has what is configured, and nothing of the one before.
        let second = try LiveGuest("fewer", modules: [1]) { $0.startsFresh = true }
        #expect(second.ownership == [.host])
        #expect(LiveGuest.waits { !LiveGuest.isAlive(emulator) })
        #expect(!FileManager.default.fileExists(atPath: folder))
        #expect(
            LiveGuest.folders(of: "fewer") == [second.backend.folders.ours.split(separator: "/").last.map(String.init)]
        )
    }

    /// What is in use is not made anew.
    @Test func aDomainThatIsInUseIsNotMadeAnew() throws {
        let live = try LiveGuest("busy", initial: .shared)
        let error = #expect(throws: BackendError.self) {
            _ = try LiveGuest("busy", patience: .milliseconds(50)) { $0.startsFresh = true }
        }
        #expect(error?.message.contains("in use by another back end") == true, "\(error as Any)")
        #expect(LiveGuest.isAlive(live.backend.emulator))
        #expect(try live.plugged() == [0])
    }
}
#endif

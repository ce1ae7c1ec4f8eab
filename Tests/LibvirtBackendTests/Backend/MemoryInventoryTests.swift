#if Libvirt
import Custody
import Foundation
import Glibc
import Testing

@testable import LibvirtBackend

/// What is there of domains, whose it is, and that only what nobody has is removed.
@Suite(.timeLimit(.minutes(60))) struct MemoryInventoryTests {
    /// A directory of memory files with one of ours and one of libvirt's, of a domain that has ended.
    private final class Leftover {
        /// Its own: a process with another test's on its command line would be its guest.
        let uuid = UUID().uuidString.lowercased()
        let memory = FileManager.default.temporaryDirectory.path() + "custody-test-\(UUID().uuidString)"
        var inventory: MemoryInventory { MemoryInventory(of: memory) }
        var ours: String { "\(memory)/custody/a-guest-\(uuid)" }
        var libvirts: String { "\(memory)/libvirt/qemu/qemu-embed-0123abcd-3-a-guest" }

        init() throws {
            for (folder, files) in [(ours, ["0", "0.record"]), (libvirts, ["ram-node0"])] {
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                for file in files { try Data(count: 8192).write(to: URL(filePath: folder + "/" + file)) }
            }
        }

        deinit { try? FileManager.default.removeItem(atPath: memory) }

        /// Removes what is left over until so much is there. What tests beside this one fork off has the descriptors of this process
        /// for a moment, those of a look at the files among them.
        func removeLeftovers(leaving rest: [Bool]) -> Bool {
            LiveGuest.waits {
                _ = try inventory.removeLeftovers()
                return isThere == rest
            }
        }

        var isThere: [Bool] { [ours, libvirts].map { FileManager.default.fileExists(atPath: $0) } }
    }

    @Test func whatNobodyHasIsLeftOver() throws {
        let leftover = try Leftover()
        // As a back end leaves the file of a module with private pages.
        #expect(unsafe chmod(leftover.ours + "/0", 0) == 0)
        var found: [DomainFiles] = []
        let isLeftOver = LiveGuest.waits {
            found = try leftover.inventory.domains()
            return found.allSatisfy(\.isLeftover)
        }
        #expect(isLeftOver, "\(found.map(\.user))")
        #expect(found.map(\.path) == [leftover.ours, leftover.libvirts])
        #expect(found.map(\.domain) == ["a-guest", "a-guest"])
        #expect(found.map(\.uuid) == [leftover.uuid, nil])
        #expect(found.map(\.owner) == [.custody, .libvirt])
        #expect(found[0].files.map(\.name) == ["0", "0.record"])
        #expect(found[0].files.map(\.byteCount) == [8192, 8192])
        #expect(found[0].backedBytes == 16384 && found[1].backedBytes == 8192)
        #expect(leftover.isThere == [true, true], "looking takes nothing away")
        #expect(leftover.removeLeftovers(leaving: [false, false]))
        #expect(try leftover.inventory.domains() == [])
    }

    /// Whoever has a file of it is named, and all of it stays.
    @Test(arguments: [0, 1], [HolderProcess.Kind.ownTable, .endedLeader])
    func whatSomebodyHasStays(number: Int, kind: HolderProcess.Kind) throws {
        let leftover = try Leftover()
        let path = [leftover.ours + "/0", leftover.libvirts + "/ram-node0"][number]
        let file = unsafe open(path, O_RDWR | O_CLOEXEC)
        let holder = try HolderProcess(kind, keeping: file)
        close(file)
        var found: [DomainFiles] = []
        let isHeld = LiveGuest.waits {
            found = try leftover.inventory.domains()
            return found.map(\.isLeftover) == [number == 1, number == 0] && found[number].holders.count == 1
        }
        #expect(isHeld && found[number].holders.map(\.process) == [holder.identity], "\(found.map(\.user))")
        #expect(leftover.removeLeftovers(leaving: [number == 0, number == 1]))
        #expect(FileManager.default.fileExists(atPath: path))
        holder.finish()
        #expect(leftover.removeLeftovers(leaving: [false, false]))
    }

    /// A process that has the domain's UUID on its command line runs it, whatever it has open.
    @Test func aDomainThatRunsKeepsItsFiles() throws {
        let leftover = try Leftover()
        let guest = Process()
        guest.executableURL = URL(filePath: "/bin/sh")
        guest.arguments = ["-c", "read line", leftover.uuid]
        let pipe = Pipe()
        guest.standardInput = pipe
        try guest.run()
        let found = try leftover.inventory.removeLeftovers { $0.owner == .custody }
        #expect(found.map(\.guest?.process) == [guest.processIdentifier])
        #expect(leftover.isThere == [true, true])
        try pipe.fileHandleForWriting.close()
        guest.waitUntilExit()
        #expect(leftover.removeLeftovers(leaving: [false, false]))
    }

    /// What is no directory is none of a domain's, and what cannot be removed is an error.
    @Test func whatIsNoFileOfMemoryIsAnError() throws {
        let leftover = try Leftover()
        try Data().write(to: URL(filePath: leftover.memory + "/custody/file"))
        #expect(try leftover.inventory.domains().count == 2)
        try FileManager.default.createDirectory(atPath: leftover.ours + "/folder", withIntermediateDirectories: true)
        #expect(leftover.removeLeftovers(leaving: [true, false]))
        let found = try leftover.inventory.domains()
        #expect(found.map(\.isLeftover) == [false])
        #expect(found[0].obstacle?.contains("folder") == true, "\(found[0].user)")
    }

    /// From its life to its end: a back end has it, a guest without one, nobody.
    @Test func aDomainIsFoundInEachPartOfItsLife() throws {
        let inventory = MemoryInventory(of: TestRoot.root.memory)
        let name: String
        func look(_ owner: DomainFiles.Owner) throws -> DomainFiles? {
            try inventory.domains().first { $0.domain == name && $0.owner == owner }
        }
        let emulator: Int32
        do {
            let live = try LiveGuest("inventory", initial: .shared, isOwner: false)
            (name, emulator) = (live.name, live.backend.emulator)
            let found = try #require(try look(.custody))
            #expect(found.backEnds.map(\.process) == [getpid()])
            #expect(found.guest?.process == emulator)
            #expect(found.uuid == live.backend.domain.uuid)
            #expect(found.path == live.backend.folders.ours)
            #expect(found.files.first?.name == "0" && found.files.first?.backedBytes == 4 << 20)
            #expect(try look(.libvirt)?.guest?.process == emulator)
            #expect(try look(.libvirt)?.path == live.backend.folders.libvirt)
            _ = try inventory.removeLeftovers { $0.domain == name }
            #expect(try live.perform(.read(count: 1, from: live.module().address)) == .bytes([0]))
            #expect(FileManager.default.fileExists(atPath: live.backend.folders.path(of: 0)))
            live.backend.abandon()
        }
        let orphan = try #require(try look(.custody))
        #expect(orphan.guest?.process == emulator && !orphan.isLeftover)
        _ = try inventory.removeLeftovers { $0.domain == name }
        #expect(try look(.custody) != nil)
        try TestRoot.connect().domain(named: name)?.end()
        // The start of another test's domain may have taken it away by then.
        #expect(LiveGuest.waits { try look(.custody).map(\.isLeftover) != false })
        _ = try inventory.removeLeftovers { $0.domain == name }
        #expect(try look(.custody) == nil && look(.libvirt) == nil)
    }

    /// A daemon's directory is not guessed; a configuration that the user wrote for the driver in a process is read.
    @Test func theDirectoryIsTheOneInUse() throws {
        var options = LibvirtOptions()
        options.uri = "qemu:///system"
        let error = #expect(throws: BackendError.self) { _ = try MemoryInventory(of: options) }
        #expect(error?.message.contains("memory_backing_dir") == true)
        let folder = FileManager.default.temporaryDirectory.path() + "custody-test-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        options = LibvirtOptions()
        options.root = folder
        options.memory = "/dev/shm/elsewhere"
        #expect(try MemoryInventory(of: options).memory == "/dev/shm/elsewhere")
        #expect(throws: BackendError.self) { _ = try MemoryInventory(ofRoot: folder) }
        try FileManager.default.createDirectory(atPath: folder + "/etc", withIntermediateDirectories: true)
        try " memory_backing_dir\t= \"/dev/shm/theirs = 1\" # comment\n"
            .write(toFile: folder + "/etc/qemu.conf", atomically: true, encoding: .utf8)
        #expect(try MemoryInventory(of: options).memory == "/dev/shm/theirs = 1")
        #expect(try MemoryInventory(ofRoot: folder).memory == "/dev/shm/theirs = 1")
    }
}

#endif

#if Libvirt
import Custody
import CustodyOptions
import Foundation
import Glibc
import Testing

@testable import LibvirtBackend

/// What a configuration may say, and what it may not.
@Suite(.timeLimit(.minutes(60))) struct OptionsTests {
    private func options(_ key: String, _ value: String) throws -> LibvirtOptions {
        try LibvirtOptions(
            ConfigurationSection(at: SourceLocation(file: "guest.yaml", line: 1, column: 1))
                .setting(key, to: value, option: "option")
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

    /// Memory files of another machine cannot be looked at: that is said before anybody connects.
    @Test(arguments: [
        ("qemu+ssh://user@host/system", "transport ‘ssh’"), ("qemu+tcp:///system", "transport ‘tcp’"),
        ("qemu+tls://host/system", "transport ‘tls’"), ("qemu+libssh2://h/system", "transport ‘libssh2’"),
        ("qemu+ext:///system?command=/bin/sh", "transport ‘ext’"), ("qemu://host/system", "host ‘host’"),
        ("qemu://[::1]:16514?x=1", "host ‘[::1]:16514’"), ("system", "is no URI"),
    ])
    func anotherMachinesLibvirtIsRefusedByName(uri: String, flaw: String) throws {
        let error = #expect(throws: ConfigurationError.self) { _ = try options("uri", uri) }
        #expect(error?.message.contains(flaw) == true, "\(error as Any)")
        #expect(error?.location.file == "option")
        // And where somebody makes the options himself.
        let made = #expect(throws: BackendError.self) { _ = try LiveGuest("remote") { $0.uri = uri } }
        #expect(made?.code == .invalidArgument)
        #expect(made?.message.contains(flaw) == true)
    }

    @Test(arguments: ["qemu:///system", "qemu:///session", "qemu+unix:///session?socket=/run/x", "test:///default"])
    func libvirtOnThisMachineIsTaken(uri: String) throws { #expect(try options("uri", uri).uri == uri) }

    /// Base memory and processors are spread over cells, all of them, and each once.
    @Test(arguments: [(1, 1, 16), (2, 1, 16), (3, 8, 17), (16, 4, 16)])
    func cellsHaveAllMemoryAndProcessors(cells: Int, processors: Int, mebibytes: UInt64) throws {
        var configuration = DomainConfiguration(name: "cells", regionsEnd: 5 << 30, slots: 1)
        (configuration.cells, configuration.processors) = (cells, processors)
        configuration.baseMemory = mebibytes << 20
        let all = configuration.description.first("cpu", "numa")?.elements("cell") ?? []
        #expect(all.compactMap { $0["id"] } == (0..<cells).map { "\($0)" })
        #expect(all.compactMap { $0["memory"].flatMap { UInt64($0) } }.reduce(0, +) == mebibytes)
        #expect(all.allSatisfy { $0["memory"] != "0" })
        let found = all.compactMap { $0["cpus"] }.flatMap { text in
            let ends = text.split(separator: "-").compactMap { Int($0) }
            return Array(ends[0]...ends[ends.count - 1])
        }
        #expect(found == Array(0..<processors))
    }

    /// The configuration of libvirt's driver is written again at each start, unless somebody else wrote it.
    @Test func aConfigurationOfTheUsersStays() throws {
        let folder = "/tmp/custody-conf-\(getpid())"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let root = EmbeddedRoot(folder)
        let path = folder + "/etc/qemu.conf"
        try root.prepare()
        #expect(try String(contentsOfFile: path, encoding: .utf8).contains("memory_backing_dir = \"\(folder)/memory\""))
        try EmbeddedRoot(folder, memory: folder + "/other").prepare()
        #expect(try String(contentsOfFile: path, encoding: .utf8).contains("memory_backing_dir = \"\(folder)/other\""))
        let theirs = "stdio_handler = \"file\"\n"
        try theirs.write(toFile: path, atomically: true, encoding: .utf8)
        try root.prepare()
        #expect(try String(contentsOfFile: path, encoding: .utf8) == theirs)
        #expect(root.memoryInUse == folder + "/lib/qemu/ram")
    }

    /// Where it is the user's own, a directory of memory files is used or refused.
    @Test func aDirectoryThatTheUsersConfigurationDoesNotNameIsRefused() throws {
        let folder = "/tmp/custody-conf-mine-\(getpid())"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try EmbeddedRoot(folder).prepare()
        let path = folder + "/etc/qemu.conf"
        var options = LibvirtOptions()
        options.root = folder
        for (line, used) in [
            ("memory_backing_dir = \"\(folder)/mine\"", folder + "/mine"), ("# nothing", folder + "/lib/qemu/ram"),
        ] {
            try (line + "\n").write(toFile: path, atomically: true, encoding: .utf8)
            options.memory = folder + "/other"
            let error = #expect(throws: BackendError.self) { try EmbeddedRoot(of: options).prepare() }
            #expect(error?.code == .invalidArgument)
            for text in ["‘\(folder)/other’", "‘\(used)’", path, "memory_backing_dir = \"\(folder)/other\""] {
                #expect(error?.message.contains(text) == true, "\(error as Any)")
            }
            // Named as it is there, or not at all.
            for memory in [used, nil] {
                options.memory = memory
                try EmbeddedRoot(of: options).prepare()
                #expect(EmbeddedRoot(of: options).memoryInUse == used)
            }
            #expect(try String(contentsOfFile: path, encoding: .utf8) == line + "\n")
        }
    }

    /// What is somebody's doing in the directories is an error, and nothing is waited for.
    @Test func whatIsLaidOutInTheDirectoriesIsRefused() throws {
        let folder = "/tmp/custody-laid-\(getpid())"
        let files = FileManager.default
        defer { try? files.removeItem(atPath: folder) }
        let root = EmbeddedRoot(folder)
        try root.prepare()
        // Links below the directory of memory files: the guest's memory would be behind them.
        for (place, name) in [("/elsewhere", "/libvirt"), ("/libvirt/elsewhere", "/libvirt/qemu")] {
            try? files.removeItem(atPath: root.memory + "/libvirt")
            try files.createDirectory(atPath: root.memory + place, withIntermediateDirectories: true)
            try files.createSymbolicLink(atPath: root.memory + name, withDestinationPath: root.memory + place)
            let error = #expect(throws: BackendError.self) { try root.prepare() }
            #expect(error?.code == .accessDenied && error?.message.contains("‘\(root.memory + name)’") == true)
        }
        try files.removeItem(atPath: root.memory + "/libvirt")
        try root.prepare()
        // A pipe in place of the configuration.
        try files.removeItem(atPath: folder + "/etc/qemu.conf")
        #expect(unsafe mkfifo(folder + "/etc/qemu.conf", 0o600) == 0)
        #expect(throws: BackendError.self) { try root.prepare() }
        #expect(throws: BackendError.self) { try MemoryInventory(ofRoot: folder) }
    }

    @Test func aNameThatNoDomainCanHaveIsRefused() throws {
        for (name, text) in [
            ("a/b", "no slashes"), ("a\nb", "no control characters"), ("", "not be empty"),
            (String(repeating: "x", count: 49), "at most 48 bytes"),
        ] {
            var options = LibvirtOptions()
            options.domain = name
            #expect(options.flawOfName?.contains(text) == true, "\(name)")
            options.adopt = "any"
            #expect(options.flawOfName == nil)
        }
        var options = LibvirtOptions()
        for name in ["a", "custody-example", ". ü %s <&", String(repeating: "x", count: 48)] {
            options.domain = name
            #expect(options.flawOfName == nil)
        }
    }

    /// Where libvirt's driver keeps what it keeps for a user is that user's.
    @Test func aHomeThatIsAnothersIsNamed() throws {
        let folder = "/tmp/custody-home-\(getpid())"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        func obstacle(_ environment: [String: String]) -> String? {
            EmbeddedRoot.obstacleToState(of: 1000, environment)?.message
        }
        #expect(obstacle(["HOME": folder]) == nil)
        #expect(obstacle(["HOME": "/proc", "XDG_CACHE_HOME": folder + "/not/there/yet"]) == nil)
        #expect(obstacle(["HOME": "/proc"])?.contains("‘/proc/.cache/libvirt’") == (geteuid() == 0 ? nil : true))
        #expect(obstacle([:]) == nil)
        #expect(EmbeddedRoot.obstacleToState(of: 0, ["HOME": "/proc"]) == nil)
    }

    /// What is said in vain is said to be, by who reads a configuration and by who makes a domain.
    @Test func whatIsSaidInVainIsRefused() throws {
        let vain: [(String, (inout LibvirtOptions) -> Void)] = [
            ("‘memory’ is for the driver in this process", { ($0.uri, $0.memory) = ("qemu:///session", "/dev/shm/x") }),
            ("‘channel’ is for a domain that is adopted", { $0.channel = "/run/x" }),
            ("‘kernel’ is for ‘guest: linux’", { $0.kernel = "/vmlinuz" }),
            ("‘initrd’ is for ‘guest: linux’", { $0.initrd = "/initrd" }),
            ("‘command-line’ is for ‘guest: linux’", { $0.commandLine = "quiet" }),
            ("‘initial’ is for a domain that is made", { ($0.adopt, $0.initial) = ("x", .shared) }),
            ("‘kernel’ is for a domain that is made", { ($0.adopt, $0.guest, $0.kernel) = ("x", .linux, "/vmlinuz") }),
            ("‘fresh’ is for a domain that is made", { ($0.adopt, $0.startsFresh) = ("x", true) }),
            ("‘guest’ is for a domain that is made", { ($0.adopt, $0.guest) = ("x", .linux) }),
            ("‘accelerator’ is for a domain that is made", { ($0.adopt, $0.usesKVM) = ("x", true) }),
            ("‘base-memory’ is for a domain that is made", { ($0.adopt, $0.baseMemory) = ("x", ByteCount(32 << 20)) }),
            ("‘numa-cells’ is for a domain that is made", { ($0.adopt, $0.numaCells) = ("x", 2) }),
            ("‘module-cells’ names 2 cells", { $0.moduleCells = [0, 0] }),
        ]
        for (text, change) in vain {
            let error = #expect(throws: BackendError.self) {
                _ = try LiveGuest("vain", modules: [1]) { options in
                    options.memory = nil
                    change(&options)
                }
            }
            #expect(error?.code == .invalidArgument)
            #expect(error?.message.contains(text) == true, "\(error as Any)")
        }
        let error = #expect(throws: ConfigurationError.self) { _ = try options("channel", "/run/x") }
        #expect(error?.message.hasPrefix("‘channel’ is for") == true, "\(error as Any)")
    }

    /// Private pages reach no disk unless that is asked for.
    @Test func memoryFilesAreInMemory() throws {
        let disk = "/var/tmp/custody-disk-\(getpid())"
        try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: disk) }
        try MemoryFolders.checkFileSystem(of: "/dev/shm", acceptingDisk: false)
        try MemoryFolders.checkFileSystem(of: disk, acceptingDisk: true)
        let error = #expect(throws: BackendError.self) {
            try MemoryFolders.checkFileSystem(of: disk, acceptingDisk: false)
        }
        #expect(error?.code == .unsupported)
        for text in ["‘\(disk)’", "to a disk", "‘accept-disk: true’"] { #expect(error?.message.contains(text) == true) }
        let missing = #expect(throws: BackendError.self) {
            try MemoryFolders.checkFileSystem(of: disk + "/no", acceptingDisk: true)
        }
        #expect(missing?.code == .unavailable)
        #expect(try options("accept-disk", "true").acceptsDisk)
        #expect(!LibvirtOptions().acceptsDisk)
    }

    /// Libvirt's log is the program's.
    @Test func theEnvironmentStaysAsItIs() throws {
        _ = try TestRoot.connect()
        #expect(unsafe getenv("LIBVIRT_LOG_OUTPUTS") == nil)
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

#if Libvirt
import Custody
import CustodyPolicy
import Foundation
import Glibc
import GuestChannel
import Testing

@testable import LibvirtBackend

/// A daemon of libvirt's for one user, with the settings that it comes with. As root the user is `nobody`, so that QEMU and
/// this process are of two users; else the daemon is this user's.
private final class SessionDaemon {
    static let user: uid_t = geteuid() == 0 ? 65534 : geteuid()

    let folder: String
    private var process: Process?
    private var surroundings: [String: String] {
        ["HOME": folder, "XDG_RUNTIME_DIR": folder + "/run", "PATH": "/usr/bin"]
    }
    fileprivate var socket: String { folder + "/run/libvirt/libvirt-sock" }

    var uri: String { "qemu+unix:///session?socket=" + socket }

    init(_ name: String = "cd") throws {
        folder = "/tmp/\(name)-\(getpid())"
        for name in [folder, folder + "/run"] {
            #expect(unsafe mkdir(name, 0o755) == 0)
            #expect(unsafe chown(name, SessionDaemon.user, .max) == 0)
        }
        try start()
    }

    deinit {
        kill()
        // The daemon's daemon for logs would stay for two minutes.
        let text = try? String(contentsOfFile: folder + "/run/libvirt/virtlogd.pid", encoding: .utf8)
        if let logger = text.flatMap({ Int32($0.trimmingCharacters(in: .whitespacesAndNewlines)) }) {
            _ = Glibc.kill(logger, SIGTERM)
        }
        try? FileManager.default.removeItem(atPath: folder)
    }

    func start() throws {
        let daemon = Process()
        let user = "\(SessionDaemon.user)"
        daemon.executableURL = URL(filePath: geteuid() == 0 ? "/usr/bin/setpriv" : "/usr/sbin/libvirtd")
        if geteuid() == 0 {
            daemon.arguments = ["--reuid=\(user)", "--regid=\(user)", "--clear-groups", "/usr/sbin/libvirtd"]
        }
        daemon.environment = surroundings
        daemon.standardError = FileHandle.nullDevice
        try daemon.run()
        process = daemon
        let isUp = LiveGuest.waits { FileManager.default.fileExists(atPath: socket) }
        #expect(isUp)
    }

    func kill() {
        guard let process else { return }
        _ = Glibc.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        self.process = nil
        unsafe unlink(socket)
    }
}

/// What listens where a daemon did, and does not answer.
private final class HungDaemon {
    private let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    private let path: String
    private var caller: Int32 = -1

    init(at path: String) throws {
        self.path = path
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
        let status = unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard status == 0, listen(listener, 16) == 0 else { throw HostError(call: "bind", subject: path, errno: errno) }
    }

    /// Sleeps until somebody has connected, who waits for an answer from then on.
    func takeCaller() { caller = accept(listener, nil, nil) }

    /// Whoever has connected is turned away.
    func end() {
        unsafe unlink(path)
        for descriptor in [listener, caller] { close(descriptor) }
    }
}

/// Domains of a daemon.
@Suite(.timeLimit(.minutes(60))) struct DaemonTests {
    /// Makes the domain that root adopts: what is root's alone is not for the daemon's user.
    private func makeForeignDomain(_ name: String, _ daemon: borrowing SessionDaemon) throws {
        let firmware = daemon.folder + "/micro-guest.bin"
        try Data(MicroGuestImage.bytes()).write(to: URL(filePath: firmware))
        var configuration = DomainConfiguration(name: name, regionsEnd: 5 << 30, slots: 4)
        configuration.firmware = firmware
        configuration.serialSocket = daemon.folder + "/\(name).console"
        configuration.channelSocket = daemon.folder + "/\(name).channel"
        _ = try Connection.open(daemon.uri).create(configuration.description)
    }

    /// A guest of a daemon; as root an adopted one.
    private func makeGuest(
        _ name: String,
        of daemon: borrowing SessionDaemon,
        gate: any CallGate = OpenGate()
    ) throws -> LiveGuest {
        let isForeign = geteuid() == 0
        let domain = "\(name)-\(getpid())"
        if isForeign { try makeForeignDomain(domain, daemon) }
        let (uri, base) = (daemon.uri, daemon.folder)
        return try LiveGuest(name, modules: [1, 1, 1], gate: gate) { options in
            options.uri = uri
            options.memory = nil
            options.root = base + "/lv"
            guard isForeign else { return }
            options.adopt = domain
            options.channel = base + "/\(domain).channel"
        }
    }

    /// A daemon lets whoever connects again wait for ever. Hand-overs complete and expire all the same, and another guest goes on.
    @Test func aDaemonThatHangsHoldsUpNobody() throws {
        let daemon = try SessionDaemon("ch")
        let gate = FailingGate()
        let (uri, live) = (daemon.uri, try makeGuest("hung", of: daemon, gate: gate))
        let other = try LiveGuest("beside-hung", modules: [1])
        defer {
            if geteuid() == 0 { try? Connection.open(uri).domain(named: live.name)?.end() }
            live.backend.shutDown()
        }
        for number in 0..<2 {
            try live.convert(live.module(number), to: .shared)
            try live.backend.map(live.module(number), as: "holder-\(number)")
        }
        gate.fail(0)
        daemon.kill()
        let hung = try HungDaemon(at: daemon.socket)
        hung.takeCaller()
        #expect(!gate.made.contains(.libvirt(.open)))

        let (completes, _) = try live.begin(live.module(0), to: .private, heldBy: ["holder-0"])
        try live.backend.release(as: "holder-0")
        #expect(completes.end == "completed, contents preserved")
        let (expires, _) = try live.begin(
            live.module(1),
            to: .private,
            heldBy: ["holder-1"],
            deadline: .milliseconds(200)
        )
        #expect(expires.end == "expired")
        try other.convert(other.module(), to: .shared)
        #expect(!gate.made.contains(.libvirt(.open)))

        hung.end()
        try daemon.start()
        #expect(LiveGuest.waits { (try? live.convert(live.module(2), to: .shared)) != nil })
        #expect(live.ownership == [.private, .shared, .shared])
    }

    /// Each has a connection of its own, and a guard: the end of one guest, and of the daemon, is nothing to the other's.
    @Test func twoDomainsOfADaemonHaveAGuardEach() throws {
        let daemon = try SessionDaemon("c2")
        let (first, second) = (try makeGuest("daemon-1", of: daemon), try makeGuest("daemon-2", of: daemon))
        defer {
            _ = LiveGuest.waits {
                for live in [first, second] { try Connection.open(daemon.uri).domain(named: live.name)?.end() }
                return true
            }
            for live in [first, second] { live.backend.shutDown() }
        }
        for live in [first, second] {
            try live.convert(live.module(), to: .shared)
            try live.convert(live.module(), to: .private)
        }
        func isClosed(_ live: LiveGuest, to name: String) -> Bool {
            let error = #expect(throws: BackendError.self) { try live.backend.map(live.module(), as: name) }
            return error?.code == .accessDenied
        }
        daemon.kill()
        #expect(kill(first.backend.emulator, SIGKILL) == 0)
        for live in [first, second] { #expect(isClosed(live, to: "early")) }
        try daemon.start()
        #expect(LiveGuest.waits { first.log.isLost })
        first.backend.shutDown()
        #expect(isClosed(second, to: "late"))
        #expect(LiveGuest.waits { (try? second.convert(second.module(1), to: .shared)) != nil })
        #expect(second.ownership == [.private, .shared, .host])
        #expect(try second.perform(.read(count: 1, from: second.module().address)) == .bytes([0]))
        #expect(!second.log.isLost)
    }

    /// Who shuts down meanwhile does not wait for it, and says what is left.
    @Test func shuttingDownDoesNotWaitForADaemonThatHangs() throws {
        let daemon = try SessionDaemon("cs")
        let gate = FailingGate()
        let live = try makeGuest("hung-end", of: daemon, gate: gate)
        let emulator = live.backend.emulator
        try live.convert(live.module(), to: .shared)
        gate.fail(0)
        daemon.kill()
        let hung = try HungDaemon(at: daemon.socket)
        hung.takeCaller()
        #expect(LiveGuest.waits { !live.backend.domain.isConnected })
        #expect(throws: VirError.self) { try live.backend.domain.end() }
        live.backend.shutDown()
        #expect(!gate.made.contains(.libvirt(.open)))
        #expect(LiveGuest.isAlive(emulator))
        // What the guest has it keeps: nobody can tell what that is.
        #expect(FileManager.default.fileExists(atPath: live.backend.folders.path(of: 0)))
        if geteuid() != 0 { #expect(live.log.isLost) }

        hung.end()
        try daemon.start()
        // Its socket is there a moment before it listens.
        let isEnded = LiveGuest.waits {
            try Connection.open(daemon.uri).domain(named: live.name)?.end()
            return true
        }
        #expect(isEnded)
        #expect(LiveGuest.waits { !LiveGuest.isAlive(emulator) })
        live.backend.folders.remove(gate: OpenGate())
    }

    /// With the daemon's own directory of memory files, and a user of its own for QEMU; while the daemon is down, calls fail
    /// and nothing else does.
    @Test func aDaemonComesAsItIsAndMayGo() throws {
        let daemon = try SessionDaemon()
        let isForeign = geteuid() == 0
        let (uri, live) = (daemon.uri, try makeGuest("daemon", of: daemon))
        let folders = live.backend.folders
        let emulator = live.backend.emulator
        defer {
            if isForeign { try? Connection.open(uri).domain(named: live.name)?.end() }
            live.backend.shutDown()
            #expect(!FileManager.default.fileExists(atPath: folders.ours))
            #expect(LiveGuest.waits { !LiveGuest.isAlive(emulator) })
        }
        #expect(folders.libvirt.hasPrefix(daemon.folder + "/.config/libvirt/qemu/ram/"))
        #expect(folders.owner.user == SessionDaemon.user)
        try live.convert(live.module(), to: .shared)
        try live.convert(live.module(1), to: .shared)
        for number in 0..<2 {
            #expect(try FileOwner.of(folders.path(of: number), OpenGate()) == folders.owner)
            #expect(try FileOwner.of(folders.name(of: live.backend.modules[number]), OpenGate()) == folders.owner)
        }
        #expect(try live.perform(.write([4, 5], to: live.module().address)) == .written)

        daemon.kill()
        #expect(LiveGuest.waits { !live.backend.domain.isConnected })
        for (number, target) in [(0, Ownership.host), (2, .shared)] {
            let error = #expect(throws: ConversionError.self) { try live.convert(live.module(number), to: target) }
            #expect(error?.cause?.code == .disconnected, "\(error as Any)")
        }
        let facets = #expect(throws: BackendError.self) { _ = try live.backend.facets() }
        #expect(facets?.code == .lost)
        #expect(live.ownership == [.shared, .shared, .host])
        // What is between this process, the guest and the kernel goes on.
        try live.convert(live.module(1), to: .private)
        #expect(try live.perform(.read(count: 2, from: live.module().address)) == .bytes([4, 5]))

        try daemon.start()
        #expect(LiveGuest.waits { (try? live.convert(live.module(2), to: .shared)) != nil })
        #expect(live.backend.emulator == emulator)
        #expect(live.ownership == [.shared, .private, .shared])
        #expect(try live.plugged() == [0, 1, 2])
        try live.answerRemovals(.accept)
        for number in 0..<3 {
            #expect(try live.convert(live.module(number), to: .host) == .zeroed)
        }
        #expect(live.ownership == [.host, .host, .host])
        #expect(try live.plugged() == [])

        // Whoever ends the domain finds the daemon again by himself.
        let standstill = Standstill(live.backend)
        daemon.kill()
        try daemon.start()
        #expect(LiveGuest.waits { !live.backend.domain.isConnected })
        try live.backend.domain.end()
        #expect(LiveGuest.waits { !LiveGuest.isAlive(emulator) })
        _ = consume standstill
    }
}

#endif

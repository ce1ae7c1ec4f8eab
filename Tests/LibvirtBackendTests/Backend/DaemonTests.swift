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

    let folder = "/tmp/cd-\(getpid())"
    private var process: Process?
    private var surroundings: [String: String] {
        ["HOME": folder, "XDG_RUNTIME_DIR": folder + "/run", "PATH": "/usr/bin"]
    }
    private var socket: String { folder + "/run/libvirt/libvirt-sock" }

    var uri: String { "qemu+unix:///session?socket=" + socket }

    init() throws {
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

/// Domains of a daemon.
@Suite(.timeLimit(.minutes(15))) struct DaemonTests {
    private static let name = "daemon-\(getpid())"

    /// Makes the domain that root adopts: what is root's alone is not for the daemon's user.
    private func makeForeignDomain(_ daemon: borrowing SessionDaemon) throws {
        let firmware = daemon.folder + "/micro-guest.bin"
        try Data(MicroGuestImage.bytes()).write(to: URL(filePath: firmware))
        var configuration = DomainConfiguration(name: DaemonTests.name, regionsEnd: 5 << 30, slots: 4)
        configuration.firmware = firmware
        configuration.serialSocket = daemon.folder + "/console"
        configuration.channelSocket = daemon.folder + "/channel"
        _ = try Connection.open(daemon.uri).create(configuration.description)
    }

    /// With the daemon's own directory of memory files, and a user of its own for QEMU; while the daemon is down, calls fail
    /// and nothing else does.
    @Test func aDaemonComesAsItIsAndMayGo() throws {
        let daemon = try SessionDaemon()
        let isForeign = geteuid() == 0
        if isForeign { try makeForeignDomain(daemon) }
        let (uri, base) = (daemon.uri, daemon.folder)
        let live = try LiveGuest("daemon", modules: [1, 1, 1]) { options in
            options.uri = uri
            options.root = base + "/lv"
            guard isForeign else { return }
            options.adopt = DaemonTests.name
            options.channel = base + "/channel"
        }
        let folders = live.backend.folders
        let emulator = live.backend.emulator
        defer {
            if isForeign { try? Connection.open(uri).domain(named: DaemonTests.name)?.end() }
            live.backend.shutDown()
            #expect(!FileManager.default.fileExists(atPath: folders.ours))
            #expect(LiveGuest.waits { !LiveGuest.isAlive(emulator) })
        }
        #expect(folders.libvirt.hasPrefix(base + "/.config/libvirt/qemu/ram/"))
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

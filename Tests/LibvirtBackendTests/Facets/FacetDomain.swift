#if Libvirt
import Custody
import CustodyTestSupport
import Foundation
import Glibc
import GuestChannel

@testable import LibvirtBackend

/// A domain for the tests of facets, which ends with its owner: the micro guest, or Linux.
final class FacetDomain {
    /// A connection that nothing is made to fail on.
    let connection: Connection
    /// The domain, by that connection.
    let domain: Domain
    private let name: String
    private let sockets: [String]

    /// Makes a domain and starts it.
    init(
        _ label: String,
        linux: LinuxGuest? = nil,
        configure: (inout DomainConfiguration) throws -> Void = { _ in }
    ) throws {
        let name = "facet-\(label)-\(getpid())"
        let connection = try TestRoot.connect()
        sockets = ["console", "channel"].map { TestRoot.root.path + "/\(name).\($0)" }
        var configuration = DomainConfiguration(name: name, regionsEnd: (4 << 30) + (1 << 30), slots: 8)
        if let linux {
            configuration.kernel = (linux.kernel, linux.initialFileSystem, "console=ttyS0 quiet panic=-1")
            configuration.baseMemory = 512 << 20
            configuration.devices.append(
                XMLElement(
                    "channel",
                    ["type": "unix"],
                    [
                        XMLElement("source", ["mode": "bind", "path": sockets[1]]),
                        XMLElement("target", ["type": "virtio", "name": "org.custody.guest.0"]),
                    ]
                )
            )
        } else {
            configuration.firmware = try TestRoot.firmware()
            configuration.serialSocket = sockets[0]
        }
        try configure(&configuration)
        domain = try connection.define(configuration.description)
        self.connection = connection.share()
        self.name = name
        do throws(VirError) { try domain.create() } catch {
            try? domain.undefine()
            throw error
        }
    }

    deinit {
        try? domain.destroy()
        try? domain.undefine()
        for socket in sockets { unsafe unlink(socket) }
    }

    /// The micro guest's console.
    func console() throws -> MicroGuestConsole { try MicroGuestConsole(path: sockets[0]) }

    /// The channel of the agent in Linux.
    func channel() throws -> ChannelConnection { try ChannelConnection(path: sockets[1], granularity: .base) }

    /// The same domain by a connection whose calls can be made to fail.
    func domain(by connection: borrowing Connection) throws -> Domain {
        guard let found = try connection.domain(named: name) else {
            throw BackendError(.lost, "the domain ‘\(name)’ is gone")
        }
        return found
    }

    /// Whether its processors run.
    func isRunning() throws -> Bool {
        guard try domain.isActive() else { return false }
        return try !domain.isPaused()
    }

    /// The live description.
    func description() throws -> LiveDescription { try LiveDescription(of: domain) }

    /// A name for a window that no other process of the tests uses.
    static func windowName(_ label: String) -> String { "custody-test-\(label)-\(getpid())" }

    /// Whether there is a window's file of that name.
    static func hasFile(_ name: String) -> Bool {
        var status = stat()
        return unsafe lstat("/dev/shm/" + name, &status) == 0
    }
}

#endif

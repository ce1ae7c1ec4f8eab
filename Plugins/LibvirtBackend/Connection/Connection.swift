#if Libvirt
import CLibvirt
import Custody
import Glibc

/// A connection to libvirt, or one reference to it: it is given back when the value is gone.
///
/// Every method blocks until libvirt has answered. It belongs on a thread that may sleep, not on Swift's cooperative
/// pool: `ThreadExecutor.run(_:)` is the way from there.
@safe package struct Connection: ~Copyable, Sendable {
    // A virConnect is locked by libvirt itself, and may be used by several threads; the pointer never changes.
    nonisolated(unsafe) let pointer: OpaquePointer
    /// What every call passes through.
    package let gate: any CallGate
    /// What was connected to.
    package let uri: String
    /// Who listens to what happens.
    let hub: EventHub

    /// Who answers what libvirt asks when it is made.
    let authentication: ConnectionAuthentication?

    private init(
        _ pointer: OpaquePointer,
        _ uri: String,
        _ gate: any CallGate,
        _ hub: EventHub,
        _ authentication: ConnectionAuthentication? = nil
    ) {
        self.authentication = authentication
        unsafe self.pointer = unsafe pointer
        self.hub = hub
        self.uri = uri
        self.gate = gate
    }

    /// Connects, with the event loop running.
    package static func open(_ uri: String, gate: any CallGate = OpenGate()) throws(VirError) -> Connection {
        try open(uri, gate: gate, nil)
    }

    /// Connects; whoever is named answers libvirt's questions.
    static func open(
        _ uri: String,
        gate: any CallGate,
        _ authentication: ConnectionAuthentication?
    ) throws(VirError) -> Connection {
        try EventLoop.start(gate)
        guard uri.contains(":///embed") else {
            let pointer = try unsafe gate.object(.open) {
                unsafe authentication.map { unsafe $0.open(uri) } ?? virConnectOpen(uri)
            }
            return unsafe Connection(pointer, uri, gate, EventHub(), authentication)
        }
        OrphanReaper.start()
        return try embedded.withLock { kept throws(VirError) in
            let hub = kept[uri]?.hub ?? EventHub()
            let pointer = try unsafe gate.object(.open) {
                if let connection = kept[uri] {
                    unsafe virConnectRef(connection.pointer)
                    return unsafe connection.pointer
                }
                return unsafe virConnectOpen(uri)
            }
            let connection = unsafe Connection(pointer, uri, gate, hub)
            if kept[uri] == nil { kept[uri] = Kept(connection) }
            return connection
        }
    }

    /// Keeps a connection.
    private final class Kept: Sendable {
        private let connection: Connection
        var hub: EventHub { connection.hub }
        var pointer: OpaquePointer { unsafe connection.pointer }
        init(_ connection: borrowing Connection) { self.connection = connection.share() }
    }

    /// The drivers in this process that have been opened, until it ends. Each opening of one enters it in libvirt's table of
    /// drivers once more, which has room for twenty.
    private static let embedded = Locked<[String: Kept]>([:])

    /// One more reference to the same connection.
    package func share() -> Connection {
        unsafe virConnectRef(pointer)
        return unsafe Connection(pointer, uri, gate, hub, authentication)
    }

    deinit { unsafe virConnectClose(pointer) }

    /// Whether the other end still answers.
    package var isAlive: Bool { unsafe virConnectIsAlive(pointer) == 1 }

    /// Whether the driver runs in this process, rather than behind a socket.
    package var isEmbedded: Bool { uri.contains(":///embed") }

    /// Whether a process at the other end of a socket does the work.
    package var isRemote: Bool { !isEmbedded && !uri.hasPrefix("test:") }

    /// What the host can run, as libvirt describes it.
    package func capabilities() throws(VirError) -> String {
        try unsafe text(gate.object(.capabilities) { unsafe virConnectGetCapabilities(pointer) })
    }

    /// What a domain of this kind could have, as libvirt describes it.
    package func domainCapabilities(
        emulator: String?,
        architecture: String,
        machine: String?,
        type: String
    ) throws(VirError) -> String {
        try unsafe text(
            gate.object(.domainCapabilities) {
                unsafe virConnectGetDomainCapabilities(pointer, emulator, architecture, machine, type, 0)
            }
        )
    }

    // MARK: Domains

    /// The domain of this name; `nil` where there is none.
    package func domain(named name: String) throws(VirError) -> Domain? {
        try unsafe found { () throws(VirError) in
            try unsafe gate.object(.lookUpByName) { unsafe virDomainLookupByName(pointer, name) }
        }
    }

    /// The domain of this UUID; `nil` where there is none.
    package func domain(uuid: String) throws(VirError) -> Domain? {
        try unsafe found { () throws(VirError) in
            try unsafe gate.object(.lookUpByUUID) { unsafe virDomainLookupByUUIDString(pointer, uuid) }
        }
    }

    /// Defines a persistent domain, or describes one that there is anew.
    package func define(_ description: XMLElement) throws(VirError) -> Domain {
        let xml = description.text
        let domain = try unsafe gate.object(.define, givingBack: { unsafe _ = virDomainFree($0) }) {
            unsafe virDomainDefineXMLFlags(pointer, xml, UInt32(VIR_DOMAIN_DEFINE_VALIDATE.rawValue))
        }
        return try unsafe Domain(domain, gate)
    }

    /// Starts a domain that is gone when it has ended.
    package func create(_ description: XMLElement) throws(VirError) -> Domain {
        let xml = description.text
        let domain = try unsafe gate.object(.createTransient, givingBack: { unsafe _ = virDomainFree($0) }) {
            unsafe virDomainCreateXML(pointer, xml, UInt32(VIR_DOMAIN_START_VALIDATE.rawValue))
        }
        return try unsafe Domain(domain, gate)
    }

    /// The names of all domains, running or not, sorted.
    package func domainNames() throws(VirError) -> [String] {
        var list: UnsafeMutablePointer<OpaquePointer?>?
        let count = try gate.number(.listDomains) { unsafe virConnectListAllDomains(pointer, &list, 0) }
        guard let list = unsafe list else { return [] }
        var names: [String] = []
        for index in 0..<Int(count) {
            guard let domain = unsafe list[index] else { continue }
            if let name = unsafe virDomainGetName(domain) { names.append(unsafe String(cString: name)) }
            unsafe virDomainFree(domain)
        }
        unsafe free(list)
        return names.sorted()
    }

    private func found(_ look: () throws(VirError) -> OpaquePointer) throws(VirError) -> Domain? {
        do throws(VirError) {
            return try unsafe Domain(look(), gate)
        } catch {
            guard error.code == .noDomain else { throw error }
            return nil
        }
    }
}

/// The text that libvirt allocated, which is freed.
func text(_ bytes: UnsafeMutablePointer<CChar>) -> String {
    defer { unsafe free(bytes) }
    return unsafe String(cString: bytes)
}

#endif

#if Libvirt
import Custody
import Glibc
import GuestChannel

// The domain: one that runs is found, any other is made.
extension DomainOpening {
    /// The domain of this name or UUID, where one runs: what does not run is no guest, and a definition of it may stay.
    static func find(
        _ name: String,
        _ connection: borrowing Connection,
        _ events: EventBuffer
    ) throws(BackendError) -> ManagedDomain? {
        var silent: Int32?
        return try asking(
            "the domain cannot be looked for",
            unless: {
                silent.map { process in
                    "the domain ‘\(name)’ is there, and QEMU, which runs it (pid \(process)), does not answer: kill -CONT \(process) "
                        + "lets one go on that was stopped, and kill -9 \(process) ends it"
                }
            },
            { () throws(VirError) in
                if let domain = try connection.domain(named: name) {
                    return try running(domain, connection, events, &silent)
                }
                guard name.utf8.count == 36, let domain = try connection.domain(uuid: name) else { return nil }
                return try running(domain, connection, events, &silent)
            }
        )
    }

    /// Whether there is a domain of this name or UUID, running or not.
    ///
    /// - Parameter isMarked: whether it is to be marked as made here; either unless named. One that has just ended, or another
    ///   process has this moment taken away, has no description any more.
    static func isThere(
        _ name: String,
        _ connection: borrowing Connection,
        withMark isMarked: Bool? = nil
    ) throws(BackendError) -> Bool {
        try asking("the domain cannot be looked for") { () throws(VirError) in
            func look(_ domain: borrowing Domain) throws(VirError) -> Bool {
                guard let isMarked else { return true }
                let text: String
                do throws(VirError) { text = try domain.describe() } catch {
                    guard error.code == .noDomain else { throw error }
                    return false
                }
                let description = try? XMLElement(parsing: text)
                return (description?.first("metadata", mark) != nil) == isMarked
            }
            if let domain = try connection.domain(named: name) { return try look(domain) }
            guard name.utf8.count == 36, let domain = try connection.domain(uuid: name) else { return false }
            return try look(domain)
        }
    }

    /// The domain, where it runs. Libvirt learns a moment later than the kernel that QEMU has ended.
    private static func running(
        _ domain: consuming Domain,
        _ connection: borrowing Connection,
        _ events: EventBuffer,
        _ silent: inout Int32?
    ) throws(VirError) -> ManagedDomain? {
        guard try !domain.hasEnded() else { return nil }
        let managed = try ManagedDomain(connection.share(), domain.share(), events: events)
        guard try managed.processThatRunsIt() != nil else { return nil }
        // One that the process before had only begun to make is ended by libvirt, a moment after it has been found: libvirt
        // asks QEMU for others when it is through with that.
        do throws(BackendError) {
            _ = try managed.ask("query-status", for: Status.self)
            return managed
        } catch {
            if (try? domain.hasEnded()) == true { return nil }
            guard let process = try managed.processThatRunsIt() else { return nil }
            if (error.cause as? VirError)?.code == .operationTimeout { silent = process }
            throw (error.cause as? VirError) ?? VirError(code: .internalError, message: "\(error)", call: .monitor)
        }
    }

    /// Sees that there is memory for what the guest begins with, which QEMU takes at once. Modules ask for theirs later.
    static func checkSpace(for size: ByteCount, in folder: String) throws(BackendError) {
        var status = statvfs()
        // Where that fails QEMU says what is wrong. One without a limit has no blocks.
        guard unsafe statvfs(folder, &status) == 0, status.f_blocks > 0 else { return }
        let free = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
        guard !free.overflow, free.partialValue < size.rawValue else { return }
        throw BackendError(
            .resourcesExhausted,
            "there is not enough memory in ‘\(folder)’: the guest begins with \(size) (base-memory), and "
                + "\(ByteCount(free.partialValue)) are free"
        )
    }

    /// What QEMU says of its state.
    private struct Status: Decodable {
        let status: String
    }

    /// Makes the domain. A name whose QEMU has ended a moment ago is not free at once.
    ///
    /// What libvirt says of the call is not the last word: where it failed, the domain is looked for by its UUID.
    static func make(
        _ description: XMLElement,
        uuid: String,
        _ connection: borrowing Connection,
        _ events: EventBuffer
    ) throws(VirError) -> ManagedDomain {
        let end = ContinuousClock.now + .seconds(20)
        while true {
            do throws(VirError) {
                let domain = try create(description, uuid, connection)
                do throws(VirError) {
                    return try ManagedDomain(connection.share(), domain.share(), events: events)
                } catch {
                    // That it runs on would be the worse news.
                    try domain.end()
                    throw error
                }
            } catch {
                guard error.code == .operationFailed, ContinuousClock.now < end else { throw error }
                usleep(50_000)
            }
        }
    }

    private static func create(
        _ description: XMLElement,
        _ uuid: String,
        _ connection: borrowing Connection
    ) throws(VirError) -> Domain {
        do throws(VirError) { return try connection.create(description) } catch {
            guard let domain = try? connection.domain(uuid: uuid) else { throw error }
            return domain
        }
    }

    /// The element that marks a domain as made here.
    static let mark = "custody:guest"

    /// What a domain is made of, by the keys of the configuration, as it is kept with it: whoever comes after looks whether it
    /// is the same.
    static func settings(_ guest: GuestConfiguration, _ options: LibvirtOptions) -> XMLElement {
        func places(_ ranges: [PageRange]) -> [String] { ranges.map { "\(ByteCount($0.byteCount)) at \($0.address)" } }
        // In whatever order they are named. What is asked of a pool changes while the guest runs.
        let pools = options.elasticPools.sorted { $0.range.start < $1.range.start }
        let values: KeyValuePairs<String, String?> = [
            "guest.memory": places(guest.layout.regions).joined(separator: ", "),
            "guest.processors": "\(guest.processors)",
            "guest": options.guest.rawValue, "kernel": options.kernel, "initrd": options.initrd,
            "command-line": options.commandLine, "accelerator": options.usesKVM ? "kvm" : "emulated",
            "base-memory": "\(options.baseMemory)", "numa-cells": "\(options.numaCells)",
            "module-cells": guest.layout.regions.indices.map { "\(options.cell(ofModule: $0))" }.joined(
                separator: ", "
            ),
            "overcommit": "\(options.overcommits)", "initial": "\(options.initial)",
            "elastic-pools": pools.isEmpty
                ? nil
                : zip(places(pools.map(\.range)), pools).map { "\($0) in blocks of \($1.block)" }.joined(
                    separator: ", "
                ),
            "balloon": "\(options.hasBalloon)", "launch-security": options.launchSecurity?.element.line,
        ]
        let elements = values.compactMap { key, value in
            value.map { XMLElement("custody:setting", ["key": key], text: $0) }
        }
        return XMLElement(mark, ["xmlns:custody": "urn:custody"], elements)
    }

    static func description(
        _ guest: GuestConfiguration,
        _ options: LibvirtOptions,
        uuid: String,
        socket: String,
        _ gate: any CallGate
    ) throws(BackendError) -> XMLElement {
        var configuration = DomainConfiguration(
            name: options.domain,
            regionsEnd: guest.layout.bounds.end * PageSize.base.bytes,
            slots: guest.layout.regions.count
        )
        configuration.uuid = uuid
        configuration.accelerator = options.usesKVM ? .kvm : .emulated
        configuration.baseMemory = options.baseMemory.rawValue
        configuration.processors = guest.processors
        configuration.cells = options.numaCells
        configuration.pools = options.elasticPools
        configuration.takesMemory = !options.overcommits
        configuration.hasBalloon = options.hasBalloon
        configuration.launchSecurity = options.launchSecurity
        configuration.metadata = [settings(guest, options)]
        // A daemon may run QEMU as another user, who has to reach what it is given here.
        try OwnDirectory(options.root, mode: options.uri == nil ? 0o700 : 0o711, gate: gate)
        switch options.guest {
        case .micro:
            let image = "\(options.root)/micro-guest.bin"
            let bytes = try MicroGuestImage.bytes()
            do throws(HostError) {
                try gate.replace(image, with: bytes, mode: options.uri == nil ? 0o600 : 0o644)
            } catch {
                throw BackendError(.unavailable, "the guest's firmware cannot be written", cause: error)
            }
            configuration.firmware = image
            configuration.serialSocket = "\(options.root)/\(options.domain).console"
            configuration.channelSocket = socket
        case .linux:
            configuration.kernel = (options.kernel ?? "", options.initrd, options.commandLine)
            configuration.devices.append(
                XMLElement(
                    "channel",
                    ["type": "unix"],
                    [
                        XMLElement("source", ["mode": "bind", "path": socket]),
                        XMLElement("target", ["type": "virtio", "name": "org.custody.guest.0"]),
                    ]
                )
            )
        }
        return configuration.description
    }
}

#endif

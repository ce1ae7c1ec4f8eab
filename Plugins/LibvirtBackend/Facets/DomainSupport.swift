#if Libvirt
public import Custody

/// What a domain could have on a host, by libvirt's word (`domcapabilities`).
public struct DomainSupport: Sendable, Hashable {
    /// What a host says of one kind of launch security.
    public struct Security: Sendable, Hashable {
        /// Libvirt's name of the kind.
        public let kind: String
        /// The bit of an address that marks a page as encrypted, where the host tells it.
        public let encryptionBit: UInt32?
        /// How many bits of an address encryption costs, where the host tells it.
        public let reducedAddressBits: UInt32?
        /// How many such guests there can be, where the host tells it.
        public let maximumGuests: UInt64?
    }

    /// QEMU's program.
    public let emulator: String
    /// QEMU's machine type.
    public let machine: String
    /// What the guest's memory can be behind: `file`, `anonymous`, `memfd`.
    public let memorySources: Set<String>
    /// The kinds of launch security that the host has.
    public let launchSecurity: [Security]
    /// The largest number of virtual processors; 0 where libvirt does not tell.
    public let maximumProcessors: Int

    /// Asks libvirt about domains of a type (`qemu`, `kvm`) and a machine.
    package init(
        of connection: borrowing Connection,
        emulator: String? = nil,
        architecture: String = "x86_64",
        machine: String? = "pc",
        accelerator: DomainConfiguration.Accelerator = .emulated
    ) throws(BackendError) {
        let text: String
        do throws(VirError) {
            text = try connection.domainCapabilities(
                emulator: emulator,
                architecture: architecture,
                machine: machine,
                type: accelerator.rawValue
            )
        } catch { throw error.asBackendError("libvirt does not say what a domain could have") }
        try self.init(parsing: text)
    }

    /// Asks libvirt about domains of the kind of one that runs.
    init(of connection: borrowing Connection, kind: LiveDescription) throws(BackendError) {
        try self.init(
            of: connection,
            emulator: kind.root.first("devices", "emulator")?.content,
            architecture: kind.architecture,
            machine: kind.machine,
            accelerator: DomainConfiguration.Accelerator(rawValue: kind.root["type"] ?? "") ?? .emulated
        )
    }

    /// Reads libvirt's description.
    package init(parsing text: String) throws(BackendError) {
        let root: XMLElement
        do throws(XMLError) { root = try XMLElement(parsing: text) } catch {
            throw BackendError(.system, "what a domain could have cannot be read", cause: error)
        }
        guard root.name == "domainCapabilities" else {
            throw BackendError(.system, "‘\(root.name)’ does not say what a domain could have")
        }
        emulator = root.first("path")?.content ?? ""
        machine = root.first("machine")?.content ?? ""
        maximumProcessors = root.first("vcpu")?["max"].flatMap { Int($0) } ?? 0
        memorySources = Set(DomainSupport.values(of: "sourceType", in: root.first("memoryBacking")))
        let features = root.first("features")
        // From libvirt 10.5 on there is a list of kinds; before, an element for the one kind that there was.
        var kinds = DomainSupport.values(of: "sectype", in: features?.first("launchSecurity"))
        let sev = features?.first("sev")
        if sev?["supported"] == "yes", !kinds.contains("sev") { kinds.append("sev") }
        let tdx = features?.first("tdx")
        if tdx?["supported"] == "yes", !kinds.contains("tdx") { kinds.append("tdx") }
        launchSecurity = kinds.map { kind in
            let details = kind.hasPrefix("sev") && sev?["supported"] == "yes" ? sev : nil
            func number(_ name: String) -> UInt64? { XMLElement.number(details?.first(name)?.content) }
            return Security(
                kind: kind,
                encryptionBit: number("cbitpos").flatMap { UInt32(exactly: $0) },
                reducedAddressBits: number("reducedPhysBits").flatMap { UInt32(exactly: $0) },
                maximumGuests: number("maxGuests")
            )
        }
    }

    /// Whether a domain could be started with this.
    ///
    /// - Throws: `BackendError` with code `unsupported` where the host does not have it.
    public func check(_ security: LaunchSecurity) throws(BackendError) {
        guard launchSecurity.contains(where: { $0.kind == security.kind }) else {
            let there = launchSecurity.map(\.kind)
            throw BackendError(
                .unsupported,
                "launch security ‘\(security.kind)’ is not there on this host; libvirt says it has "
                    + (there.isEmpty ? "none" : there.joined(separator: ", "))
            )
        }
    }

    /// What an operator should know, in sentences.
    var remarks: [String] {
        [
            "a domain is a ‘\(machine)’ of \(emulator), with at most \(maximumProcessors) processors, and memory in "
                + memorySources.sorted().joined(separator: ", "),
            launchSecurity.isEmpty
                ? "no launch security: libvirt says that this host has none"
                : "launch security, which is not exercised on hardware: "
                    + launchSecurity.map(\.kind).joined(separator: ", "),
        ]
    }

    private static func values(of name: String, in element: XMLElement?) -> [String] {
        guard let element, element["supported"] == "yes" else { return [] }
        return element.elements("enum").first { $0["name"] == name }?.elements("value").map(\.content) ?? []
    }
}

#endif

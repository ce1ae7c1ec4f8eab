#if Libvirt

/// How a guest is to be protected from its host by the processor: libvirt's `launchSecurity`, chosen before it starts.
///
/// What this package promises about it: the description is what libvirt's documentation and schema say. It has not met the
/// hardware.
public enum LaunchSecurity: Sendable, Hashable {
    /// AMD SEV, or SEV-ES by its policy: memory is encrypted. Libvirt 4.5.
    case sev(SEV)
    /// AMD SEV-SNP: and its integrity is kept. Libvirt 10.5.
    case sevSNP(SEVSNP)
    /// Intel TDX. Libvirt 11.6.
    case tdx(TDX)

    /// What SEV wants to know (AMD, SEV API specification).
    public struct SEV: Sendable, Hashable {
        /// The guest's policy; bit 2 asks for SEV-ES.
        public var policy: UInt32
        /// The bit of an address that marks a page as encrypted; the host's where it is `nil`.
        public var encryptionBit: UInt32?
        /// How many bits of an address encryption costs; the host's number where it is `nil`.
        public var reducedAddressBits: UInt32?
        /// The guest owner's Diffie-Hellman certificate, in base64.
        public var certificate: String?
        /// The guest owner's session, in base64.
        public var session: String?
        /// Whether the kernel, its initial file system and command line are measured.
        public var measuresKernel: Bool?

        /// A policy, with everything else as the host has it.
        public init(policy: UInt32) { self.policy = policy }
    }

    /// What SEV-SNP wants to know (AMD, SEV-SNP firmware ABI).
    public struct SEVSNP: Sendable, Hashable {
        /// The guest's policy. Bit 17 must be set.
        public var policy: UInt64
        /// The bit of an address that marks a page as encrypted; the host's where it is `nil`.
        public var encryptionBit: UInt32?
        /// How many bits of an address encryption costs; the host's number where it is `nil`.
        public var reducedAddressBits: UInt32?
        /// Workarounds that the guest sees: 16 bytes in base64.
        public var guestVisibleWorkarounds: String?
        /// The identity block: 96 bytes in base64.
        public var identityBlock: String?
        /// The block that vouches for the identity: 4096 bytes in base64.
        public var identityAuthentication: String?
        /// Data of the host that an attestation report repeats: 32 bytes in base64.
        public var hostData: String?
        /// Whether the kernel, its initial file system and command line are measured.
        public var measuresKernel: Bool?
        /// Whether the identity has an author's key.
        public var hasAuthorKey: Bool?
        /// Whether attestation may use the key of this processor's version.
        public var usesVersionedKey: Bool?

        /// A policy, with everything else as the host has it.
        public init(policy: UInt64 = 0x3_0000) { self.policy = policy }
    }

    /// What TDX wants to know (Intel, TDX module base architecture).
    public struct TDX: Sendable, Hashable {
        /// The guest's attributes; QEMU's where it is `nil`. Bit 0 makes it a guest that can be debugged.
        public var policy: UInt64?
        /// An SHA-384 digest of what is not its own configuration, in base64.
        public var configurationID: String?
        /// An SHA-384 digest of the owner, in base64.
        public var owner: String?
        /// An SHA-384 digest of the owner's configuration, in base64.
        public var ownerConfiguration: String?
        /// The socket of the service that makes quotes; `""` for libvirt's default.
        public var quoteService: String?

        /// Everything as QEMU has it.
        public init() {}
    }

    /// What it can do.
    public static let capabilities = FacetCapabilities.launchSecurity

    /// Libvirt's name of the kind.
    public var kind: String {
        switch self {
        case .sev: "sev"
        case .sevSNP: "sev-snp"
        case .tdx: "tdx"
        }
    }

    /// The description that libvirt is given, in a domain's.
    package var element: XMLElement {
        var element = XMLElement("launchSecurity", ["type": kind])
        func yesNo(_ value: Bool?) -> String? { value.map { $0 ? "yes" : "no" } }
        func hexadecimal(_ number: some BinaryInteger) -> String { "0x" + String(number, radix: 16) }
        switch self {
        case .sev(let sev):
            element["kernelHashes"] = yesNo(sev.measuresKernel)
            element.append("cbitpos", sev.encryptionBit.map { "\($0)" })
            element.append("reducedPhysBits", sev.reducedAddressBits.map { "\($0)" })
            element.append("policy", hexadecimal(sev.policy))
            element.append("dhCert", sev.certificate)
            element.append("session", sev.session)
        case .sevSNP(let snp):
            element["kernelHashes"] = yesNo(snp.measuresKernel)
            element["authorKey"] = yesNo(snp.hasAuthorKey)
            element["vcek"] = yesNo(snp.usesVersionedKey)
            element.append("cbitpos", snp.encryptionBit.map { "\($0)" })
            element.append("reducedPhysBits", snp.reducedAddressBits.map { "\($0)" })
            element.append("policy", hexadecimal(snp.policy))
            element.append("guestVisibleWorkarounds", snp.guestVisibleWorkarounds)
            element.append("idBlock", snp.identityBlock)
            element.append("idAuth", snp.identityAuthentication)
            element.append("hostData", snp.hostData)
        case .tdx(let tdx):
            element.append("policy", tdx.policy.map(hexadecimal))
            element.append("mrConfigId", tdx.configurationID)
            element.append("mrOwner", tdx.owner)
            element.append("mrOwnerConfig", tdx.ownerConfiguration)
            if let path = tdx.quoteService {
                var service = XMLElement("quoteGenerationService")
                service["path"] = path.isEmpty ? nil : path
                element.children.append(.element(service))
            }
        }
        return element
    }

    /// The kind that a domain's description names; `nil` where it names none.
    package static func kind(in description: LiveDescription) -> String? {
        description.root.first("launchSecurity")?["type"]
    }
}

extension XMLElement {
    fileprivate mutating func append(_ name: String, _ text: String?) {
        guard let text else { return }
        children.append(.element(XMLElement(name, text: text)))
    }
}

#endif

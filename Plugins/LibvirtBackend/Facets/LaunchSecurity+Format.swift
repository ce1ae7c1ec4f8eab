#if Libvirt
import Custody
import CustodyOptions

extension LaunchSecurity {
    /// What a key `launch-security` may be: one kind, with libvirt's own options, hyphens for capital letters.
    static let format = Format<[LaunchSecurity]>
        .table([
            (
                KeyEntry("sev", sev.schema, "AMD SEV, or SEV-ES by its policy."),
                sev.map { (sev, _) in .sev(sev) }
            ),
            (
                KeyEntry("sev-snp", snp.schema, "AMD SEV-SNP. Libvirt 10.5."),
                snp.map { (snp, _) in .sevSNP(snp) }
            ),
            (
                KeyEntry("tdx", tdx.schema, "Intel TDX. Libvirt 11.6."),
                tdx.map { (tdx, _) in .tdx(tdx) }
            ),
        ])
        .map { (kinds, location) throws(ConfigurationError) in
            guard kinds.count == 1 else {
                throw ConfigurationError("launch security is exactly one of sev, sev-snp, tdx", at: location)
            }
            return kinds[0]
        }
        .exactlyOne(of: [["sev"], ["sev-snp"], ["tdx"]])

    private static let sev = Format<SEV>.mapping(
        .required("policy", .number, "The guest's policy, 32 bits; bit 2 asks for SEV-ES."),
        .optional("cbitpos", encryptionBit, encryptionBitText),
        .optional("reduced-phys-bits", reducedAddressBits, reducedAddressBitsText),
        .optional("dh-cert", .base64(), "The guest owner's Diffie-Hellman certificate, in base64."),
        .optional("session", .base64(), "The guest owner's session, in base64."),
        .optional("kernel-hashes", .boolean, measuresKernelText)
    ) { (policy, encryptionBit, reducedAddressBits, certificate, session, measuresKernel) in
        var sev = SEV(policy: policy)
        sev.encryptionBit = encryptionBit
        sev.reducedAddressBits = reducedAddressBits
        sev.certificate = certificate
        sev.session = session
        sev.measuresKernel = measuresKernel
        return sev
    }

    private static let snp = Format<SEVSNP>.settings(
        of: { SEVSNP() },
        [
            .setting("policy", \.policy, snpPolicy, "The guest's policy, 64 bits; 0x30000 unless named."),
            .setting("cbitpos", \.encryptionBit, encryptionBit, encryptionBitText),
            .setting("reduced-phys-bits", \.reducedAddressBits, reducedAddressBits, reducedAddressBitsText),
            .setting(
                "guest-visible-workarounds",
                \.guestVisibleWorkarounds,
                .base64(bytes: 16),
                "Workarounds that the guest sees: 16 bytes in base64."
            ),
            .setting("id-block", \.identityBlock, .base64(bytes: 96), "The identity block: 96 bytes in base64."),
            .setting(
                "id-auth",
                \.identityAuthentication,
                .base64(bytes: 4096),
                "The block that vouches for the identity: 4096 bytes in base64."
            ),
            .setting(
                "host-data",
                \.hostData,
                .base64(bytes: 32),
                "Data of the host that an attestation report repeats: 32 bytes in base64."
            ),
            .setting("kernel-hashes", \.measuresKernel, .boolean, measuresKernelText),
            .setting("author-key", \.hasAuthorKey, .boolean, "Whether the identity has an author's key."),
            .setting(
                "vcek",
                \.usesVersionedKey,
                .boolean,
                "Whether attestation may use the key of this processor's version."
            ),
        ]
    )

    private static let tdx = Format<TDX>.settings(
        of: { TDX() },
        [
            .setting("policy", \.policy, .number, "The guest's attributes, 64 bits; QEMU's unless named."),
            .setting(
                "mr-config-id",
                \.configurationID,
                digest,
                "An SHA-384 digest of what is not its own configuration, in base64."
            ),
            .setting("mr-owner", \.owner, digest, "An SHA-384 digest of the owner, in base64."),
            .setting(
                "mr-owner-config",
                \.ownerConfiguration,
                digest,
                "An SHA-384 digest of the owner's configuration, in base64."
            ),
            .setting(
                "quote-generation-service",
                \.quoteService,
                quoteService,
                "The socket of the service that makes quotes, or ‘default’ for libvirt's."
            ),
        ]
    )

    // MARK: What several have

    private static let encryptionBit = Format<Int>.integer(in: 0...63).map { (bit, _) in UInt32(bit) }
    private static let encryptionBitText =
        "The bit of an address that marks a page as encrypted; the host's unless named."

    private static let reducedAddressBits = Format<Int>.integer(in: 1...63).map { (bits, _) in UInt32(bits) }
    private static let reducedAddressBitsText = "How many bits of an address encryption costs; the host's unless named."

    private static let measuresKernelText = "Whether the kernel, its initial file system and command line are measured."

    /// SEV-SNP firmware ABI, 4.3: bit 17 is reserved, and must be one.
    private static let snpPolicy = Format<UInt64>.number.map { (policy, location) throws(ConfigurationError) in
        guard policy & 1 << 17 != 0 else {
            throw ConfigurationError("bit 17 of a policy of SEV-SNP must be set, as in 0x30000", at: location)
        }
        return policy
    }

    private static let digest = Format<String>.base64(bytes: 48)

    private static let quoteService = Format<String>.text.annotated(["pattern": "^(default|/[^\\u0000-\\u001f]*)$"])
        .map { (path, location) throws(ConfigurationError) in
            guard path != "default" else { return "" }
            guard path.hasPrefix("/"), path.unicodeScalars.allSatisfy({ $0.value >= 0x20 }) else {
                throw ConfigurationError("the socket must be an absolute path, or ‘default’", at: location)
            }
            return path
        }
}

#endif

#if Libvirt
import Custody
import CustodyOptions
import CustodyConfiguration
import Foundation
import Glibc
import Testing

@testable import LibvirtBackend

/// Launch security: described as libvirt wants it, and refused where the host does not have it. Nothing here has met the
/// hardware.
@Suite(.timeLimit(.minutes(60))) struct LaunchSecurityTests {
    /// Every option of every kind, and each kind with as little as it takes, as a file has them.
    private static let written = [
        "sev: {policy: 0x7, cbitpos: 47, reduced-phys-bits: 1, dh-cert: AAA=, session: BBBB, kernel-hashes: true}",
        "sev: {policy: 1}",
        """
        sev-snp:
          policy: 0xb0000
          cbitpos: 51
          reduced-phys-bits: 1
          guest-visible-workarounds: \(text(16))
          id-block: \(text(96))
          id-auth: \(text(4096))
          host-data: \(text(32))
          kernel-hashes: false
          author-key: true
          vcek: false
        """,
        "sev-snp:",
        """
        tdx:
          policy: 0x10000001
          mr-config-id: \(text(48))
          mr-owner: \(text(48))
          mr-owner-config: \(text(48))
          quote-generation-service: /run/qgs.socket
        """,
        "tdx: {quote-generation-service: default}",
        "tdx:",
    ]

    /// So many bytes in base64.
    private static func text(_ count: Int) -> String { Data((0..<count).map { UInt8($0 & 255) }).base64EncodedString() }

    private static func options(_ text: String, _ more: String = "") throws(ConfigurationError) -> LibvirtOptions {
        let lines = text.split(separator: "\n").map { "  \($0)\n" }.joined()
        let node = try YAMLReader.read("launch-security:\n\(lines)\(more)", file: "vm.yaml")
        return try LibvirtOptions(ConfigurationSection(node))
    }

    private static func read(_ text: String) throws -> LaunchSecurity { try #require(try options(text).launchSecurity) }

    private static func domain(_ security: LaunchSecurity, _ name: String = "secured") -> XMLElement {
        var configuration = DomainConfiguration(name: name, regionsEnd: 5 << 30, slots: 2)
        configuration.accelerator = .kvm
        configuration.launchSecurity = security
        return configuration.description
    }

    @Test func eachKindIsDescribed() throws {
        let described = try Self.written.map { text in
            let element = try XMLElement(parsing: Self.read(text).element.text)
            let attributes = element.attributes.map { "\($0.name)=\($0.value)" }
            return attributes + element.elements().map { "\($0.name):\($0["path"] ?? $0.content)" }
        }
        #expect(
            described == [
                [
                    "type=sev", "kernelHashes=yes", "cbitpos:47", "reducedPhysBits:1", "policy:0x7", "dhCert:AAA=",
                    "session:BBBB",
                ],
                ["type=sev", "policy:0x1"],
                [
                    "type=sev-snp", "kernelHashes=no", "authorKey=yes", "vcek=no", "cbitpos:51", "reducedPhysBits:1",
                    "policy:0xb0000", "guestVisibleWorkarounds:\(Self.text(16))", "idBlock:\(Self.text(96))",
                    "idAuth:\(Self.text(4096))", "hostData:\(Self.text(32))",
                ],
                ["type=sev-snp", "policy:0x30000"],
                [
                    "type=tdx", "policy:0x10000001", "mrConfigId:\(Self.text(48))", "mrOwner:\(Self.text(48))",
                    "mrOwnerConfig:\(Self.text(48))", "quoteGenerationService:/run/qgs.socket",
                ],
                ["type=tdx", "quoteGenerationService:"], ["type=tdx"],
            ]
        )
    }

    /// Each kind of mistake, with the place of the word that is wrong.
    @Test(arguments: [
        ("{}", "2:3: error: launch security is exactly one of sev, sev-snp, tdx"),
        ("{tdx: {}, sev: {policy: 1}}", "2:3: error: launch security is exactly one of sev, sev-snp, tdx"),
        ("sve: {}", "2:3: error: unknown key ‘sve’; did you mean ‘sev’? (accepted: sev, sev-snp, tdx)"),
        ("tdx", "2:3: error: expected keys with values, not ‘tdx’"),
        ("sev:", "2:7: error: the key ‘policy’ is missing here"),
        (
            "sev: {policy: 0x100000000}",
            "2:17: error: ‘policy’ must be a whole number of 32 bits such as 7 or 0x7, not ‘0x100000000’"
        ),
        ("sev: {policy: -1}", "2:17: error: ‘policy’ must be a whole number of 32 bits such as 7 or 0x7, not ‘-1’"),
        ("sev: {policy: 0x-1}", "2:17: error: ‘policy’ must be a whole number of 32 bits such as 7 or 0x7, not ‘0x-1’"),
        ("sev: {policy: [7]}", "2:17: error: ‘policy’ must be a whole number of 32 bits such as 7 or 0x7, not a list"),
        ("sev: {policy: 1, cbitpos: 64}", "2:29: error: ‘cbitpos’ must be a whole number from 0 to 63, not ‘64’"),
        (
            "sev: {policy: 1, reduced-phys-bits: 0}",
            "2:39: error: ‘reduced-phys-bits’ must be a whole number from 1 to 63, not ‘0’"
        ),
        ("sev: {policy: 1, session: AAA}", "2:29: error: the value must be bytes in base64"),
        ("sev: {policy: 1, dh-cert: AA==AA==}", "2:29: error: the value must be bytes in base64"),
        ("sev: {policy: 1, dh-cert: 'AAAA</dhCert>'}", "2:29: error: the value must be bytes in base64"),
        ("sev: {policy: 1, dh-cert: A===}", "2:29: error: the value must be bytes in base64"),
        ("sev: {policy: 1, dh-cert: ====}", "2:29: error: the value must be bytes in base64"),
        // The last bits are of no byte: AQ== is the one text of this one.
        ("sev: {policy: 1, dh-cert: AR==}", "2:29: error: the value must be bytes in base64"),
        ("sev: {policy: 1, dh-cert: ''}", "2:29: error: ‘dh-cert’ is empty"),
        (
            "sev: {policy: 1, host-data: AAAA}",
            "2:20: error: unknown key ‘host-data’ (accepted: cbitpos, dh-cert, kernel-hashes, policy, reduced-phys-bits, session)"
        ),
        ("sev-snp: {policy: 1}", "2:21: error: bit 17 of a policy of SEV-SNP must be set, as in 0x30000"),
        ("sev-snp: {vcek: yes}", "2:19: error: ‘vcek’ must be ‘true’ or ‘false’, not ‘yes’"),
        ("sev-snp: {host-data: aGk=}", "2:24: error: the value must be 32 bytes in base64, 44 characters"),
        ("tdx: {mr-owner: AAAA}", "2:19: error: the value must be 48 bytes in base64, 64 characters"),
        (
            "tdx: {quote-generation-service: qgs}",
            "2:35: error: the socket must be an absolute path, or ‘default’"
        ),
        (
            "tdx: {quote-generation-service: \"/run/\\u0001\"}",
            "2:35: error: the socket must be an absolute path, or ‘default’"
        ),
    ])
    func whatIsWrongIsRefusedWithItsPlace(text: String, message: String) {
        let error = #expect(throws: ConfigurationError.self) { try Self.options(text) }
        #expect(error?.description == "vm.yaml:" + message)
    }

    @Test func whoIsAdoptedIsAsItIs() {
        let error = #expect(throws: ConfigurationError.self) { try Self.options("tdx:", "adopt: guest\n") }
        #expect(error?.message.hasPrefix("‘launch-security’ is for a domain that is made") == true)
    }

    /// A domain that runs without it is not gone on with as if it had it.
    @Test func aDomainWithoutItIsNotTakenForOneWithIt() throws {
        let guest = try LiveGuest("unsecured")
        let error = #expect(throws: BackendError.self) {
            _ = try LiveGuest("unsecured", isOwner: false) { $0.launchSecurity = .tdx(LaunchSecurity.TDX()) }
        }
        let difference = "‘launch-security’ is <launchSecurity type=\"tdx\"/>, and was not named. ‘fresh: true’ ends it"
        #expect(error?.message.contains(difference) == true, "\(error as Any)")
        #expect(try guest.backend.domain.describe().name == "domain", "and goes on")
    }

    /// Libvirt's own schema, as it is installed: of a kind that it does not know yet everything else must be right.
    @Test func theSchemaTakesIt() throws {
        let schema = try String(contentsOfFile: "/usr/share/libvirt/schemas/domaincommon.rng", encoding: .utf8)
        for security in try Self.written.map(Self.read) {
            let isKnown = schema.contains("<value>\(security.kind)</value>")
            let result = try Self.domain(security).validated()
            #expect((result.code == 0) == isKnown, "\(security.kind): \(result.output)")
            #expect(!isKnown || result.output.contains("validates"))
        }
        #expect(schema.contains("<value>sev</value>"), "one kind at least is held against it")
        var wrong = try Self.domain(Self.read(Self.written[0]))
        wrong = wrong.changing(["launchSecurity", "policy"]) { $0 = XMLElement("policy", text: "much") }
        #expect(try wrong.validated().code != 0)
    }

    /// Here there is no such hardware, and libvirt says so itself: what this package says agrees with it.
    @Test func aHostWithoutRefuses() throws {
        let connection = try TestRoot.connect()
        let support = try DomainSupport(
            of: connection,
            accelerator: FileManager.default.isWritableFile(atPath: "/dev/kvm") ? .kvm : .emulated
        )
        #expect(support.emulator.hasSuffix("qemu-system-x86_64"))
        #expect(support.memorySources == ["file", "anonymous", "memfd"])
        #expect(support.maximumProcessors > 0)
        let security = try Self.read(Self.written[0])
        guard support.launchSecurity.isEmpty else {
            try support.check(security)
            return
        }
        let refusal = #expect(throws: BackendError.self) { try support.check(security) }
        #expect(refusal?.code == .unsupported)
        let name = "secured-\(getpid())"
        var description = Self.domain(security, name)
        if support.machine.isEmpty || !FileManager.default.isWritableFile(atPath: "/dev/kvm") {
            description["type"] = "qemu"
        }
        defer { try? connection.domain(named: name)?.undefine() }
        let error = #expect(throws: VirError.self) {
            let domain = try connection.define(description)
            try domain.create()
        }
        #expect(error?.code == .configUnsupported)
        #expect(error?.message.lowercased().contains("sev") == true)
    }

    @Test func whatAHostSaysIsRead() throws {
        func support(_ features: String) throws -> DomainSupport {
            try DomainSupport(
                parsing: """
                    <domainCapabilities><path>/q</path><domain>kvm</domain><machine>pc-q35-9.2</machine><vcpu max='288'/>
                    <memoryBacking supported='yes'><enum name='sourceType'><value>memfd</value></enum></memoryBacking>
                    <features>\(features)</features></domainCapabilities>
                    """
            )
        }
        let sev =
            "<sev supported='yes'><cbitpos>47</cbitpos><reducedPhysBits>1</reducedPhysBits>"
            + "<maxGuests>500</maxGuests><maxESGuests>9</maxESGuests></sev>"
        let old = try support(sev)
        #expect(old.launchSecurity.map(\.kind) == ["sev"])
        #expect(old.launchSecurity.first?.encryptionBit == 47)
        #expect(old.launchSecurity.first?.reducedAddressBits == 1)
        #expect(old.launchSecurity.first?.maximumGuests == 500)
        #expect(old.memorySources == ["memfd"] && old.maximumProcessors == 288 && old.machine == "pc-q35-9.2")
        try old.check(Self.read("sev: {policy: 7}"))
        #expect(throws: BackendError.self) { try old.check(Self.read("tdx:")) }
        let new = try support(
            sev + "<launchSecurity supported='yes'><enum name='sectype'><value>sev</value><value>sev-snp</value>"
                + "</enum></launchSecurity>"
        )
        #expect(new.launchSecurity.map(\.kind) == ["sev", "sev-snp"])
        #expect(new.launchSecurity.last?.encryptionBit == 47)
        try new.check(Self.read("sev-snp:"))
        let tdx = try support("<tdx supported='yes'/><sev supported='no'/>")
        #expect(tdx.launchSecurity.map(\.kind) == ["tdx"])
        #expect(tdx.launchSecurity.first?.encryptionBit == nil)
        let none = try support(
            "<launchSecurity supported='no'><enum name='sectype'><value>sev</value></enum></launchSecurity>"
        )
        #expect(none.launchSecurity.isEmpty)
        for wrong in ["", "<domain/>", "<domainCapabilities>"] {
            #expect(throws: BackendError.self) { _ = try DomainSupport(parsing: wrong) }
        }
    }

    @Test func theTestDriverHasNone() throws {
        let connection = try Connection.open("test:///default")
        let error = #expect(throws: BackendError.self) { _ = try DomainSupport(of: connection) }
        #expect(error?.code == .unsupported)
    }
}

#endif

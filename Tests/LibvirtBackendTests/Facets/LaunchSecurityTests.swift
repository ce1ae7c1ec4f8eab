#if Libvirt
import Custody
import Foundation
import Glibc
import Testing

@testable import LibvirtBackend

/// Launch security: described as libvirt wants it, and refused where the host does not have it. Nothing here has met the
/// hardware.
@Suite(.timeLimit(.minutes(5))) struct LaunchSecurityTests {
    private static var sev: LaunchSecurity.SEV {
        var sev = LaunchSecurity.SEV(policy: 0x7)
        sev.encryptionBit = 47
        sev.reducedAddressBits = 1
        sev.certificate = "AAAA=="
        sev.session = "BBBB=="
        sev.measuresKernel = true
        return sev
    }

    private static var snp: LaunchSecurity.SEVSNP {
        var snp = LaunchSecurity.SEVSNP()
        snp.encryptionBit = 51
        snp.reducedAddressBits = 1
        snp.hostData = "aGk="
        snp.hasAuthorKey = true
        snp.usesVersionedKey = false
        return snp
    }

    private static var tdx: LaunchSecurity.TDX {
        var tdx = LaunchSecurity.TDX()
        tdx.policy = 0x1000_0001
        tdx.owner = "b3du"
        tdx.quoteService = "/run/qgs.socket"
        return tdx
    }

    private static func domain(_ security: LaunchSecurity, _ name: String = "secured") -> XMLElement {
        var configuration = DomainConfiguration(name: name, regionsEnd: 5 << 30, slots: 2)
        configuration.accelerator = .kvm
        configuration.launchSecurity = security
        return configuration.description
    }

    @Test func eachKindIsDescribed() throws {
        func content(_ security: LaunchSecurity) throws -> [String] {
            let element = try XMLElement(parsing: security.element.text)
            let attributes = element.attributes.map { "\($0.name)=\($0.value)" }
            return attributes + element.elements().map { "\($0.name):\($0["path"] ?? $0.content)" }
        }
        #expect(
            try content(.sev(Self.sev)) == [
                "type=sev", "kernelHashes=yes", "cbitpos:47", "reducedPhysBits:1", "policy:0x7", "dhCert:AAAA==",
                "session:BBBB==",
            ]
        )
        #expect(try content(.sev(LaunchSecurity.SEV(policy: 1))) == ["type=sev", "policy:0x1"])
        #expect(
            try content(.sevSNP(Self.snp)) == [
                "type=sev-snp", "authorKey=yes", "vcek=no", "cbitpos:51", "reducedPhysBits:1", "policy:0x30000",
                "hostData:aGk=",
            ]
        )
        #expect(
            try content(.tdx(Self.tdx)) == [
                "type=tdx", "policy:0x10000001", "mrOwner:b3du", "quoteGenerationService:/run/qgs.socket",
            ]
        )
        #expect(try content(.tdx(LaunchSecurity.TDX())) == ["type=tdx"])
    }

    private func validate(_ description: XMLElement) throws -> (code: Int32, output: String) {
        let file = FileManager.default.temporaryDirectory.appending(component: "custody-\(UUID()).xml")
        defer { try? FileManager.default.removeItem(at: file) }
        try description.text.write(to: file, atomically: true, encoding: .utf8)
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(filePath: "/usr/bin/virt-xml-validate")
        process.arguments = [file.path, "domain"]
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: text, as: UTF8.self))
    }

    /// Libvirt's own schema, as it is installed: of a kind that it does not know yet everything else must be right.
    @Test func theSchemaTakesIt() throws {
        let schema = try String(contentsOfFile: "/usr/share/libvirt/schemas/domaincommon.rng", encoding: .utf8)
        for security: LaunchSecurity in [
            .sev(Self.sev), .sev(LaunchSecurity.SEV(policy: 1)), .sevSNP(Self.snp), .tdx(Self.tdx),
            .tdx(LaunchSecurity.TDX()),
        ] {
            let isKnown = schema.contains("<value>\(security.kind)</value>")
            let result = try validate(Self.domain(security))
            #expect((result.code == 0) == isKnown, "\(security.kind): \(result.output)")
            #expect(!isKnown || result.output.contains("validates"))
        }
        #expect(schema.contains("<value>sev</value>"), "one kind at least is held against it")
        var wrong = Self.domain(.sev(Self.sev))
        wrong = wrong.changing(["launchSecurity", "policy"]) { $0 = XMLElement("policy", text: "much") }
        #expect(try validate(wrong).code != 0)
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
        let security = LaunchSecurity.sev(Self.sev)
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
        try old.check(.sev(Self.sev))
        #expect(throws: BackendError.self) { try old.check(.tdx(Self.tdx)) }
        let new = try support(
            sev + "<launchSecurity supported='yes'><enum name='sectype'><value>sev</value><value>sev-snp</value>"
                + "</enum></launchSecurity>"
        )
        #expect(new.launchSecurity.map(\.kind) == ["sev", "sev-snp"])
        #expect(new.launchSecurity.last?.encryptionBit == 47)
        try new.check(.sevSNP(Self.snp))
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

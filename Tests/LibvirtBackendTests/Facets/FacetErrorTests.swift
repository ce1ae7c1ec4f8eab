#if Libvirt
import Custody
import Foundation
import Testing

@testable import LibvirtBackend

/// Facets on libvirt's own test driver: what it lacks is an error that says so, and nothing changes.
@Suite(.timeLimit(.minutes(60))) struct FacetErrorTests {
    private static let configuration = """
        <node><domain type='test'><name>test</name><memory unit='KiB'>65536</memory>
        <os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
        <memballoon model='virtio'/>
        <shmem name='theirs'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>
        </devices></domain></node>
        """

    private func connect(_ gate: any CallGate = OpenGate()) throws -> Connection {
        let file = FileManager.default.temporaryDirectory.appending(component: "custody-\(UUID()).xml")
        defer { try? FileManager.default.removeItem(at: file) }
        try FacetErrorTests.configuration.write(to: file, atomically: true, encoding: .utf8)
        return try Connection.open("test://" + file.path(percentEncoded: false), gate: gate)
    }

    private func domain(_ connection: borrowing Connection) throws -> Domain {
        guard let domain = try connection.domain(named: "test") else { throw BackendError(.lost, "no domain") }
        return domain
    }

    @Test func theWorldStandsStill() throws {
        let connection = try connect()
        let domain = try domain(connection)
        let facet = StopTheWorld(domain)
        let window = try facet.stop()
        #expect(try domain.isPaused())
        try window.close()
        #expect(try !domain.isPaused())
    }

    @Test func whatTheDriverLacksIsSaid() throws {
        let connection = try connect()
        let domain = try domain(connection)
        let facets = try DomainFacets(of: domain, on: connection)
        #expect(facets.memory.enforcement == .process)
        let balloon = try #require(facets.balloon)
        #expect(balloon.maximum == 64 << 20)
        // It has no monitor to be asked by.
        let asked = #expect(throws: BackendError.self) { try balloon.state() }
        #expect(asked?.code == .unsupported)
        try balloon.ask(32 << 20)
        for wrong: UInt64 in [0, 1, 4095, (64 << 20) + 4096, .max] {
            let error = #expect(throws: BackendError.self) { try balloon.ask(wrong) }
            #expect(error?.code == .invalidArgument)
        }
        let name = FacetDomain.windowName("nodriver")
        let error = #expect(throws: BackendError.self) {
            _ = try SharedWindow.make(name, byteCount: 1 << 20, for: domain, on: connection)
        }
        #expect(error?.code == .unsupported)
        #expect(!FacetDomain.hasFile(name), "no file is left of it")
        let twice = #expect(throws: BackendError.self) {
            _ = try SharedWindow.make("theirs", byteCount: 4 << 20, for: domain, on: connection)
        }
        #expect(twice?.code == .invalidArgument)
        let foreign = #expect(throws: BackendError.self) {
            _ = try SharedWindow.find("theirs", in: domain, on: connection)
        }
        #expect(foreign?.code == .unavailable)
        // The driver's memory is a pattern of its own.
        let inspection = try #require(facets.inspection)
        #expect(try inspection.read(3, from: GuestPhysicalAddress(0)) == [0, 1, 2])
        #expect(throws: BackendError.self) { try inspection.read(1, from: GuestPhysicalAddress(64 << 20)) }
    }

    @Test func aDomainThatIsGoneIsLost() throws {
        let connection = try connect()
        let domain = try domain(connection)
        let facets = try DomainFacets(of: domain, on: connection)
        try domain.destroy()
        let error = #expect(throws: BackendError.self) { try facets.inspection?.read(1, from: GuestPhysicalAddress(0)) }
        #expect(error?.code == .lost)
        let other = #expect(throws: BackendError.self) { _ = try DomainFacets(of: domain, on: connection) }
        #expect(other?.code == .lost)
    }

    @Test func capabilitiesAreValues() throws {
        for capability in FacetCapabilities.all {
            let data = try JSONEncoder().encode(capability)
            #expect(try JSONDecoder().decode(FacetCapabilities.self, from: data) == capability)
            #expect(capability.description.contains(capability.mechanism))
            #expect(capability.description.contains("not exercised") == !capability.isExercised)
        }
        #expect(Set(FacetCapabilities.all.map(\.facet)).count == 6)
    }

    @Test(
        arguments: [
            ("512", "KiB", 524288), (" 4 ", "M", 4 << 20), ("1", "GiB", 1 << 30), ("7", "b", 7), ("3", nil, 3072),
        ] as [(String, String?, UInt64)]
    )
    func amountsAreRead(text: String, unit: String?, bytes: UInt64) {
        #expect(XMLElement.bytes(text, unit: unit) == bytes)
    }

    @Test(arguments: [
        ("", "KiB"), ("x", "KiB"), ("1", "furlong"), ("99", "EiB"), ("-1", "KiB"), ("99999999999999", "PiB"),
    ])
    func whatIsNoAmountIsNone(text: String, unit: String) { #expect(XMLElement.bytes(text, unit: unit) == nil) }
}

#endif

#if Libvirt
import Custody
import Testing

@testable import LibvirtBackend

/// What descriptions say of a domain's memory: of domains that somebody else may have made.
@Suite(.timeLimit(.minutes(60))) struct AdoptedMemoryTests {
    private static func description(
        _ backing: String,
        cell: String = "",
        devices: String = "",
        machine: String = "pc-i440fx-7.2",
        architecture: String = "x86_64",
        mebibytes: UInt64 = 16,
        more: String = ""
    ) throws -> LiveDescription {
        try LiveDescription(
            parsing: """
                <domain type='qemu' id='1'><name>a</name><memory unit='KiB'>\(mebibytes * 1024 + 131072)</memory>
                <memoryBacking>\(backing)</memoryBacking><os><type arch='\(architecture)' machine='\(machine)'>hvm</type></os>
                <cpu><numa><cell id='0' cpus='0' memory='\(mebibytes * 1024)' unit='KiB' \(cell)/></numa></cpu>\(more)
                <devices>\(devices)</devices></domain>
                """
        )
    }

    private static let shared = "<access mode='shared'/>"

    @Test(arguments: [
        ("", AdoptedMemory.Source.anonymous, AdoptedMemory.Sharing.none, Enforcement.process),
        ("<access mode='shared'/>", .file, .byName, .none),
        ("<source type='file'/>", .file, .none, .process),
        ("<source type='file'/><access mode='private'/>", .file, .none, .process),
        ("<source type='file'/><access mode='shared'/>", .file, .byName, .none),
        ("<source type='memfd'/><access mode='private'/>", .memfd, .none, .process),
        ("<source type='memfd'/><access mode='shared'/>", .memfd, .byDescriptor, .none),
        ("<hugepages/>", .hugepages, .none, .process),
        ("<hugepages/><access mode='shared'/>", .hugepages, .byName, .none),
        ("<hugepages/><source type='memfd'/><access mode='shared'/>", .memfd, .byDescriptor, .none),
    ])
    func enforcementFollowsTheBacking(
        backing: String,
        source: AdoptedMemory.Source,
        sharing: AdoptedMemory.Sharing,
        enforcement: Enforcement
    ) throws {
        let memory = AdoptedMemory(of: try Self.description(backing))
        #expect(memory.pieces.map(\.source) == [source])
        #expect(memory.pieces.map(\.byteCount) == [16 << 20])
        #expect(memory.sharing == sharing)
        #expect(memory.enforcement == enforcement)
        #expect(!memory.remark.isEmpty)
    }

    /// Of huge pages QEMU makes files without names, whatever the source is said to be: opening says so.
    @Test(arguments: ["", "<source type='file'/>", "<source type='memfd'/>"])
    func hugePagesHaveNoRoomForModules(source: String) throws {
        let live = try Self.description("<hugepages><page size='2' unit='M'/></hugepages>\(source)" + Self.shared)
        let region = try PageRange(address: GuestPhysicalAddress(4 << 30), byteCount: 2 << 20)
        let error = #expect(throws: BackendError.self) { try ModuleRoom(of: live, for: [region]).checkDescription() }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("with <hugepages> QEMU makes files without names") == true)
        let plain = try Self.description("<source type='file'/>" + Self.shared)
        let other = #expect(throws: BackendError.self) { try ModuleRoom(of: plain, for: [region]).checkDescription() }
        #expect(other?.message.contains("hugepages") == false, "\(other as Any)")
    }

    @Test func aDeviceAndACellHaveTheirOwnWord() throws {
        let dimm =
            "<memory model='dimm' access='private'><target><size unit='KiB'>131072</size></target>"
            + "<alias name='dimm0'/></memory>"
        var memory = AdoptedMemory(of: try Self.description("<source type='file'/>" + Self.shared, devices: dimm))
        #expect(memory.pieces.map(\.sharing) == [.byName, .none])
        #expect(memory.pieces.map(\.alias) == [nil, "dimm0"])
        #expect(memory.sharing == .none && memory.enforcement == .none)
        memory = AdoptedMemory(
            of: try Self.description("<source type='file'/>" + Self.shared, cell: "memAccess='private'")
        )
        #expect(memory.sharing == .none && memory.enforcement == .process)
        let nvdimm =
            "<memory model='nvdimm' access='shared'><source><path>/x</path></source>"
            + "<target><size unit='KiB'>1024</size></target></memory>"
        memory = AdoptedMemory(of: try Self.description("<source type='memfd'/>" + Self.shared, devices: nvdimm))
        #expect(memory.pieces.map(\.sharing) == [.byDescriptor, .byName])
        #expect(memory.sharing == .byDescriptor)
        memory = AdoptedMemory(
            of: try Self.description(
                "<source type='memfd'/>" + Self.shared,
                more: "<launchSecurity type='sev'><policy>0x1</policy></launchSecurity>"
            )
        )
        #expect(memory.enforcement == .kernel && memory.sharing == .none && memory.launchSecurity == "sev")
    }

    /// A real domain: described by the driver, and as it is.
    @Test(arguments: [
        ("memfd", "shared", AdoptedMemory.Sharing.byDescriptor), ("memfd", "private", .none),
        ("file", "shared", .byName),
        ("file", "private", .none), ("anonymous", "private", .none), ("anonymous", "shared", .byName),
    ])
    func aRunningDomainIsDescribed(source: String, access: String, sharing: AdoptedMemory.Sharing) throws {
        let connection = try TestRoot.connect()
        var configuration = DomainConfiguration(name: "adopt-\(source)-\(access)", regionsEnd: 5 << 30, slots: 2)
        configuration.firmware = try TestRoot.firmware()
        var description = configuration.description
        description = description.changing(["memoryBacking", "source"]) { $0["type"] = source }
        description = description.changing(["memoryBacking", "access"]) { $0["mode"] = access }
        let domain = try connection.define(description)
        defer {
            try? domain.destroy()
            try? domain.undefine()
        }
        let stopped = #expect(throws: BackendError.self) { _ = try DomainFacets(of: domain, on: connection) }
        #expect(stopped?.code == .lost)
        try domain.create(paused: true)
        let before = try domain.describe()
        let facets = try DomainFacets(of: domain, on: connection)
        #expect(facets.memory.sharing == sharing)
        #expect(facets.memory.enforcement == (sharing == .none ? .process : .none))
        #expect(facets.memory.pieces.map(\.byteCount) == [16 << 20])
        #expect(facets.pools.isEmpty && facets.balloon == nil && facets.inspection != nil)
        #expect(facets.capabilities.map(\.facet) == ["shared window", "stop the world", "inspection"])
        #expect(try domain.describe() == before, "nothing is rewritten")
    }

    /// What another process finds behind a name is what is declared: with a private mapping the file stays empty.
    @Test(arguments: ["shared", "private"])
    func theFileShowsWhatIsDeclared(access: String) throws {
        let guest = try FacetDomain("file-\(access)")
        let dimm = XMLElement(
            "memory",
            ["model": "dimm", "access": access],
            [
                XMLElement(
                    "target",
                    [:],
                    [XMLElement("size", ["unit": "MiB"], text: "16"), XMLElement("node", text: "0")]
                ),
                XMLElement("alias", ["name": "ua-file"]),
                XMLElement("address", ["type": "dimm", "slot": "0", "base": "0x100000000"]),
            ]
        )
        try guest.domain.attach(dimm)
        let memory = try DomainFacets(of: guest.domain, on: guest.connection).memory
        let piece = try #require(memory.pieces.first { $0.alias == "ua-file" })
        #expect(piece.sharing == (access == "shared" ? .byName : .none))
        #expect(memory.enforcement == .none, "what the machine begins with is shared")
    }

    // MARK: Where the RAM is

    @Test(arguments: [
        ("pc-i440fx-7.2", 16, ["0x0-0x9ffff (640 KiB)", "0x100000-0xffffff (15 MiB)"]),
        ("pc", 3583, ["0x0-0x9ffff (640 KiB)", "0x100000-0xdfefffff (3582 MiB)"]),
        ("pc", 3584, ["0x0-0x9ffff (640 KiB)", "0x100000-0xbfffffff (3071 MiB)", "0x100000000-0x11fffffff (512 MiB)"]),
        ("pc-q35-7.2", 2815, ["0x0-0x9ffff (640 KiB)", "0x100000-0xafefffff (2814 MiB)"]),
        (
            "q35", 2816,
            ["0x0-0x9ffff (640 KiB)", "0x100000-0x7fffffff (2047 MiB)", "0x100000000-0x12fffffff (768 MiB)"]
        ),
    ])
    func memoryIsWhereTheMachineHasIt(machine: String, mebibytes: UInt64, ranges: [String]) throws {
        let map = try GuestMemoryMap(of: Self.description("", machine: machine, mebibytes: mebibytes))
        #expect(map.ranges.map(\.description) == ranges)
    }

    @Test(arguments: [("microvm", "x86_64"), ("virt", "aarch64"), ("", "")])
    func anUnknownMachineIsSaidToBe(machine: String, architecture: String) throws {
        let description = try Self.description("", machine: machine, architecture: architecture)
        let error = #expect(throws: BackendError.self) { _ = try GuestMemoryMap(of: description) }
        #expect(error?.code == .unsupported)
    }

    @Test(arguments: [
        "<memory model='dimm'><alias name='a'/></memory>",
        "<memory model='dimm'><alias name='a'/><target><size unit='KiB'>1024</size></target><address base='0'/></memory>",
        "<memory model='dimm'><alias name='a'/><target><size unit='KiB'>1</size></target><address base='0x100000000'/></memory>",
        "<memory model='dimm'><alias name='a'/><target><size unit='EiB'>99</size></target><address base='0x1'/></memory>",
        "<memory model='dimm'><alias name='a'/><target><size>1024</size></target><address base='0xfffffffffffff000'/></memory>",
    ])
    func memoryThatCannotBeIsAnError(device: String) throws {
        let description = try Self.description("", devices: device)
        #expect(throws: BackendError.self) { _ = try GuestMemoryMap(of: description) }
    }
}

#endif

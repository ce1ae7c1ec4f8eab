#if Libvirt
import Custody
import CustodyPolicy
import Foundation
import Glibc
import GuestChannel
import Testing

@testable import LibvirtBackend

/// Domains that somebody else has made, with whatever memory they have.
@Suite(.timeLimit(.minutes(60))) struct AdoptionTests {
    /// A domain that is defined and runs the micro guest, until its owner is gone.
    private final class ForeignDomain {
        let name: String
        let connection: Connection
        let domain: Domain
        let socket: String

        init(
            _ label: String,
            source: String = "file",
            access: String = "shared",
            machine: String = "pc",
            isStarted: Bool = true,
            _ adjust: (inout XMLElement) -> Void = { _ in }
        ) throws {
            let connection = try TestRoot.connect()
            name = "\(label)-\(getpid())"
            socket = TestRoot.root.path + "/\(name).foreign"
            var configuration = DomainConfiguration(name: name, regionsEnd: 5 << 30, slots: 4)
            configuration.machine = machine
            configuration.firmware = try TestRoot.firmware()
            configuration.serialSocket = socket + "-console"
            configuration.channelSocket = socket
            var description = configuration.description
            description = description.changing(["memoryBacking", "source"]) { $0["type"] = source }
            description = description.changing(["memoryBacking", "access"]) { $0["mode"] = access }
            if source.isEmpty { description = description.changing(["memoryBacking"]) { $0.children = [] } }
            adjust(&description)
            domain = try connection.define(description)
            self.connection = connection.share()
            if isStarted { try domain.create() }
        }

        deinit {
            try? domain.end()
            try? domain.undefine()
            for name in [socket, socket + "-console"] { unsafe unlink(name) }
        }

        /// A back end that adopts it, by its name or UUID.
        func adopt(by name: String? = nil, gate: any CallGate = OpenGate()) throws -> LiveGuest {
            let (own, socket) = (self.name, socket)
            return try LiveGuest("adopted-\(own)", modules: [4, 1], gate: gate) { options in
                options.adopt = name ?? own
                options.channel = socket
            }
        }
    }

    /// A module is shared by its own word, whatever else the domain has: what the host writes the guest finds, and it finds
    /// what the guest writes, until the module is private.
    @Test(arguments: [("file", "shared"), ("file", "private"), ("anonymous", "shared"), ("anonymous", "private")])
    func memoryInFilesIsAdopted(source: String, access: String) throws {
        let foreign = try ForeignDomain("\(source)-\(access)", source: source, access: access)
        let live = try foreign.adopt()
        let folder = live.backend.folders.ours
        let address = live.module().address
        try live.controller.write([7, 8].span, to: address, for: Holder(device: "loader"))
        try live.convert(live.module(), to: .shared)
        #expect(try live.perform(.read(count: 2, from: address)) == .bytes([7, 8]))
        #expect(try live.perform(.write([9], to: address)) == .written)
        var bytes: [UInt8] = [0]
        var span = bytes.mutableSpan
        try live.controller.read(&span, from: address, for: Holder(device: "test"))
        #expect(bytes == [9])
        try live.convert(live.module(), to: .private)
        let error = #expect(throws: BackendError.self) {
            var byte: [UInt8] = [0]
            var span = byte.mutableSpan
            try live.backend.read(&span, from: address)
        }
        #expect(error?.fault?.enforcement == live.backend.capabilities.enforcement)
        #expect(live.backend.capabilities.enforcement == .process)
        let other = #expect(throws: BackendError.self) { try live.backend.map(live.module(), as: "other") }
        #expect(other?.code == .accessDenied)
        // What the domain had itself is described as it is.
        let pieces = try live.backend.facets().memory.pieces
        #expect(pieces.map(\.isShared) == [access == "shared", true])
        #expect(pieces.map(\.source) == [.file, .file])

        // It ends with what the guest has, by libvirt's name; nobody keeps others from it any more, and that is told.
        let name = live.backend.folders.libvirtPath(of: 0)
        live.backend.shutDown()
        #expect(!FileManager.default.fileExists(atPath: folder))
        #expect(FileManager.default.fileExists(atPath: name))
        #expect(live.log.tells(thatPrivatePagesAreShared: live.module()))
        #expect(live.ownership == [.shared, .host])
        // The next one goes on with the same file, and nothing of it is left when the domain has ended.
        let second = try foreign.adopt()
        #expect(second.ownership == [.shared, .host])
        var byte: [UInt8] = [0]
        var third = byte.mutableSpan
        try second.controller.read(&third, from: address, for: Holder(device: "test"))
        #expect(byte == [9])
        try foreign.domain.end()
        second.backend.shutDown()
        #expect(!FileManager.default.fileExists(atPath: folder))
        #expect(!FileManager.default.fileExists(atPath: name))
    }

    private static let documentation =
        URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../docs/libvirt.md").path

    /// The domain of the documentation, but for its name and its socket, as it stands there.
    @Test(
        .enabled(
            if: FileManager.default.isReadableFile(atPath: AdoptionTests.documentation),
            "this user may not read the documentation"
        )
    )
    func theDomainOfTheDocumentationIsAdopted() throws {
        let text = try String(contentsOfFile: AdoptionTests.documentation, encoding: .utf8)
        let start = try #require(text.range(of: "```xml\n"))
        let end = try #require(text.range(of: "```", range: start.upperBound..<text.endIndex))
        let name = "documented-\(getpid())"
        let socket = TestRoot.root.path + "/\(name).channel"
        let description = String(text[start.upperBound..<end.lowerBound])
            .replacing("<name>mine</name>", with: "<name>\(name)</name>").replacing("/run/mine.channel", with: socket)
        #expect(description.contains(name) && description.contains(socket))
        let domain = try TestRoot.connect().define(XMLElement(parsing: description))
        defer {
            try? domain.end()
            try? domain.undefine()
            unsafe unlink(socket)
        }
        try domain.create()
        let live = try LiveGuest("adopts-documented", modules: [4]) { options in
            options.adopt = name
            options.channel = socket
        }
        try live.convert(live.module(), to: .shared)
        try live.controller.write([7].span, to: live.module().address, for: Holder(device: "test"))
        try live.convert(live.module(), to: .private)
        #expect(try live.plugged() == [0])
        #expect(live.ownership == [.private])
        live.backend.shutDown()
        #expect(try domain.isActive())
    }

    @Test func nothingIsLeftOfModulesThatCameBack() throws {
        let foreign = try ForeignDomain("back")
        let live = try foreign.adopt()
        let folder = live.backend.folders.ours
        try live.answerRemovals(.accept)
        try live.convert(live.module(), to: .shared)
        #expect(try live.convert(live.module(), to: .host) == .zeroed)
        #expect(FileManager.default.fileExists(atPath: folder))
        live.backend.shutDown()
        #expect(!FileManager.default.fileExists(atPath: folder))
        #expect(try foreign.domain.isActive())
    }

    private static func dimm(_ alias: String, at base: UInt64, mebibytes: Int, access: String) -> XMLElement {
        let target = [XMLElement("size", ["unit": "MiB"], text: "\(mebibytes)"), XMLElement("node", text: "0")]
        return XMLElement(
            "memory",
            ["model": "dimm", "access": access],
            [
                XMLElement("target", [:], target), XMLElement("alias", ["name": alias]),
                XMLElement("address", ["type": "dimm", "slot": "1", "base": "0x" + String(base, radix: 16)]),
            ]
        )
    }

    /// Modules that the domain has itself keep their sockets.
    @Test func modulesOfTheDomainsOwnStay() throws {
        let foreign = try ForeignDomain("own")
        let base = LiveGuest.start + 512 * LiveGuest.mebibyte
        try foreign.domain.attach(AdoptionTests.dimm("ua-theirs", at: base, mebibytes: 16, access: "private"))
        let before = try XMLElement(parsing: foreign.domain.describe()).memoryModule("ua-theirs")
        let live = try foreign.adopt()
        for number in 0..<2 { try live.convert(live.module(number), to: .shared) }
        #expect(try live.plugged() == [0, 1])
        #expect(try live.backend.domain.describe().memoryModule("ua-theirs") == before)
        try live.answerRemovals(.accept)
        for number in 0..<2 { #expect(try live.convert(live.module(number), to: .host) == .zeroed) }
        live.backend.shutDown()
        #expect(try XMLElement(parsing: foreign.domain.describe()).memoryModule("ua-theirs") == before)
    }

    /// Where nobody can tell what the guest has, it keeps the files of all.
    @Test func whatTheGuestMayHaveIsNotTakenAway() throws {
        let foreign = try ForeignDomain("unknown")
        let gate = FailingGate()
        let live = try foreign.adopt(gate: gate)
        live.backend.executor.drain()
        try live.convert(live.module(), to: .shared)
        gate.fail(1, of: .libvirt(.describe))
        live.backend.shutDown()
        #expect(gate.failed == .libvirt(.describe))
        let folder = live.backend.folders.ours
        let files = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
        #expect(files == ["0", "0.record", "1", "1.record"])
        try FileManager.default.removeItem(atPath: folder)
    }

    /// One of our name that is not shared was not made here: the host would write where the guest does not look.
    @Test func aModuleThatIsNotSharedIsRefused() throws {
        let foreign = try ForeignDomain("unshared")
        try foreign.domain.attach(
            AdoptionTests.dimm(MemoryModule.alias(0), at: LiveGuest.start, mebibytes: 4, access: "private")
        )
        let error = #expect(throws: BackendError.self) { _ = try foreign.adopt() }
        #expect(error?.message == "the guest has a module that it does not share")
        #expect(try XMLElement(parsing: foreign.domain.describe()).memoryModule(MemoryModule.alias(0)) != nil)
    }

    /// Memory without a name cannot be exchanged for a file of ours.
    @Test(arguments: [
        ("memfd", "shared", "with memfd QEMU makes the memory of modules itself"),
        ("memfd", "private", "the memory is QEMU's own"), ("", "", "the memory is QEMU's own"),
    ])
    func memoryWithoutNamesIsRefused(source: String, access: String, remark: String) throws {
        let foreign = try ForeignDomain("\(source)-\(access)", source: source, access: access)
        let before = try foreign.domain.describe()
        let error = #expect(throws: BackendError.self) { _ = try foreign.adopt() }
        #expect(error?.code == .unsupported)
        let files = #"<memoryBacking><source type="file"/><access mode="shared"/></memoryBacking>"#
        #expect(error?.message.contains("it needs \(files)") == true, "\(error as Any)")
        #expect(error?.message.contains(remark) == true)
        #expect(try foreign.domain.describe() == before)
    }

    /// What a domain can lack that modules need, and what is said of it.
    enum Lack: String, CaseIterable {
        case room, slots, space, cell, files, acpi

        func take(from description: inout XMLElement) {
            func remove(_ name: String) {
                description.children.removeAll {
                    if case .element(let inner) = $0 { inner.name == name } else { false }
                }
            }
            switch self {
            case .room: remove("maxMemory")
            case .slots: description = description.changing(["maxMemory"]) { $0["slots"] = "1" }
            case .space:
                // One module has room, and both have not.
                description = description.changing(["maxMemory"]) {
                    $0 = XMLElement("maxMemory", ["slots": "4", "unit": "MiB"], text: "20")
                }
            case .cell:
                remove("maxMemory")
                remove("cpu")
            case .files: remove("memoryBacking")
            case .acpi: remove("features")
            }
        }

        var expected: [String] {
            let room = #"<maxMemory slots="2" unit="KiB">279552</maxMemory>"#
            return switch self {
            case .room: ["it needs \(room)"]
            case .slots: [#"it needs <maxMemory slots="2" unit="KiB">"#, #", and has <maxMemory slots="1""#]
            case .space: [#"it needs <maxMemory slots="4" unit="KiB">279552</maxMemory>, and has <maxMemory slots="4""#]
            case .cell:
                [#"<cpu><numa><cell id="0" cpus="0" memory="16384" unit="KiB"/></numa></cpu> and \#(room)"#]
            case .files: ["cannot have the modules: it needs <memoryBacking>", "the memory is QEMU's own"]
            case .acpi: ["it needs <features><acpi/></features>"]
            }
        }
    }

    /// Opening says what the domain lacks, as libvirt describes it; with that it has the modules.
    @Test(arguments: Lack.allCases)
    func whatADomainLacksIsSaidInXML(lack: Lack) throws {
        var missing: [XMLElement] = []
        do {
            let foreign = try ForeignDomain("lack-\(lack)") { lack.take(from: &$0) }
            let error = #expect(throws: BackendError.self) { _ = try foreign.adopt() }
            #expect(error?.code == .unsupported)
            for text in lack.expected { #expect(error?.message.contains(text) == true, "\(error as Any)") }
            let live = try LiveDescription(of: foreign.domain)
            let regions = [try LiveGuest.module(0, mebibytes: 4), try LiveGuest.module(1, mebibytes: 1)]
            missing = ModuleRoom(of: live, for: regions).missingElements
        }
        let whole = try ForeignDomain("lack-\(lack)") { description in
            lack.take(from: &description)
            for element in missing {
                description.children.removeAll {
                    if case .element(let inner) = $0 { inner.name == element.name } else { false }
                }
                description.children.append(.element(element))
            }
        }
        let live = try whole.adopt()
        for number in 0..<2 { try live.convert(live.module(number), to: .shared) }
        #expect(try live.plugged() == [0, 1])
    }

    /// As much as the modules are is enough: where there is room for them is QEMU's word.
    @Test func modulesHaveRoomWhereQEMUHasIt() throws {
        let foreign = try ForeignDomain("little-room") { description in
            description = description.changing(["maxMemory"]) {
                $0 = XMLElement("maxMemory", ["slots": "2", "unit": "MiB"], text: "21")
            }
        }
        let live = try foreign.adopt()
        for number in 0..<2 { try live.convert(live.module(number), to: .shared) }
        #expect(try live.plugged() == [0, 1])
    }

    /// Behind where QEMU has room, what would be enough is said; before it, that it is the domain's own.
    @Test func whereModulesCanBeIsSaid() throws {
        let live = try LiveDescription(
            parsing: """
                <domain><name>d</name><maxMemory slots="1" unit="MiB">32</maxMemory><memory unit="MiB">16</memory><cpu><numa>
                <cell id="0" cpus="0" memory="16" unit="MiB"/></numa></cpu></domain>
                """
        )
        func flaw(at mebibytes: UInt64) throws -> String? {
            let region = try PageRange(address: GuestPhysicalAddress(mebibytes << 20), byteCount: 1 << 20)
            let room = ModuleRoom(of: live, for: [region])
            let error = #expect(throws: BackendError.self) {
                try room.checkAddresses(beside: [], within: 5 << 30..<6 << 30)
            }
            return error?.message
        }
        #expect(
            try flaw(at: 6 << 10)?.hasSuffix(
                #"; above there is room with <maxMemory slots="1" unit="KiB">2114560</maxMemory>"#
            ) == true
        )
        #expect(try flaw(at: 4 << 10)?.contains("its own memory is below") == true)
    }

    /// A channel that is not there is named, and so are those that there are.
    @Test func aMissingChannelIsNamed() throws {
        let foreign = try ForeignDomain("no-channel")
        let (name, socket) = (foreign.name, foreign.socket)
        let error = #expect(throws: BackendError.self) {
            _ = try LiveGuest("adopts-no-channel", modules: [1]) { options in
                options.adopt = name
                options.channel = "/no/such.channel"
            }
        }
        #expect(error?.code == .unavailable)
        for text in [
            "by ‘channel’", "‘/no/such.channel’", "No such file or directory", "errno 2", "‘\(name)’ has ‘\(socket)",
        ] {
            #expect(error?.message.contains(text) == true, "\(error as Any)")
        }
    }

    /// What is where a module is to be is named when the domain is opened.
    @Test func whatIsInTheWayIsNamed() throws {
        let foreign = try ForeignDomain("in-the-way")
        let base = LiveGuest.start + 2 * LiveGuest.mebibyte
        try foreign.domain.attach(AdoptionTests.dimm("ua-theirs", at: base, mebibytes: 16, access: "private"))
        let error = #expect(throws: BackendError.self) { _ = try foreign.adopt() }
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.contains("has ‘ua-theirs’ there, 0x100200000-0x101200000") == true, "\(error as Any)")
        #expect(error?.range?.address.rawValue == LiveGuest.start)
        #expect(!FileManager.default.fileExists(atPath: TestRoot.root.memory + "/custody/\(foreign.name)"))
    }

    /// A domain with so much memory of its own that it goes on above 4 GiB has room for modules behind it.
    @Test func modulesAreBehindTheMemoryOfTheDomain() throws {
        let foreign = try ForeignDomain("much-memory") { description in
            let size = XMLElement("memory", ["unit": "MiB"], text: "5120")
            description = description.changing(["memory"]) { $0 = size }
            description = description.changing(["cpu", "numa", "cell"]) { $0["memory"] = "5120" }
            description = description.changing(["maxMemory"]) {
                $0 = XMLElement("maxMemory", ["slots": "4", "unit": "MiB"], text: "8192")
            }
        }
        let error = #expect(throws: BackendError.self) { _ = try foreign.adopt() }
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.contains("can have modules at 0x180000000-0x") == true, "\(error as Any)")
    }

    /// A domain that does not run is no missing one.
    @Test func aDomainThatDoesNotRunIsSaidToBeThere() throws {
        let foreign = try ForeignDomain("stopped", isStarted: false)
        for name in [foreign.name, foreign.domain.uuid] {
            let error = #expect(throws: BackendError.self) { _ = try foreign.adopt(by: name) }
            #expect(error?.code == .unavailable)
            #expect(error?.message.contains("‘\(name)’ is there and does not run") == true, "\(error as Any)")
        }
        // Nor is its name free.
        let stopped = foreign.name
        let taken = #expect(throws: BackendError.self) { _ = try LiveGuest("stopped-name") { $0.domain = stopped } }
        #expect(taken?.message.contains("is somebody else's") == true, "\(taken as Any)")
        let missing = #expect(throws: BackendError.self) { _ = try foreign.adopt(by: "no-such") }
        #expect(missing?.message.contains("there is no domain ‘no-such’") == true)
    }

    @Test func aDomainIsAdoptedByItsUUID() throws {
        let foreign = try ForeignDomain("uuid")
        let uuid = foreign.domain.uuid
        let live = try foreign.adopt(by: uuid)
        #expect(live.backend.domain.name == foreign.name)
        #expect(live.backend.domain.uuid == uuid)
        let error = #expect(throws: BackendError.self) {
            _ = try foreign.adopt(by: "00000000-0000-0000-0000-000000000001")
        }
        #expect(error?.code == .unavailable)
    }

    /// What there can be is what libvirt says of the domain's own machine.
    @Test(arguments: ["pc", "q35"])
    func capabilitiesAreThoseOfTheMachine(machine: String) throws {
        let foreign = try ForeignDomain("machine-\(machine)", machine: machine)
        let live = try foreign.adopt()
        let support = try DomainSupport(of: foreign.connection, machine: machine)
        #expect(live.backend.support == support)
        #expect(live.backend.capabilities.maximumProcessors == support.maximumProcessors)
        #expect(support.machine.hasPrefix(machine == "pc" ? "pc-i440fx" : "pc-q35"))
        #expect(support.maximumProcessors >= (machine == "pc" ? 255 : 256))
        let remarks = support.remarks.joined(separator: "; ")
        #expect(remarks.contains(support.machine) && remarks.contains("launch security"))
    }

    /// A domain that stays defined has a description when it has ended, and one that was started again has the name and the
    /// UUID: neither has the memory.
    @Test func aDomainThatEndedOrWasStartedAgainIsLost() throws {
        let foreign = try ForeignDomain("ended")
        let live = try foreign.adopt()
        let managed = live.backend.domain
        #expect(try managed.reconnect())
        try foreign.domain.end()
        #expect(try !managed.reconnect())
        let ended = #expect(throws: BackendError.self) { _ = try managed.describe() }
        #expect(ended?.code == .lost)
        try foreign.domain.create()
        #expect(try !managed.reconnect())
        let again = #expect(throws: BackendError.self) { _ = try managed.describe() }
        #expect(again?.message == "the process that ran the domain has ended")
        live.backend.catchUp()
        live.backend.executor.drain()
        let refusal = #expect(throws: ConversionError.self) { try live.convert(live.module(), to: .shared) }
        #expect(refusal?.cause?.code == .lost)
        let folder = live.backend.folders.ours
        live.backend.shutDown()
        #expect(!FileManager.default.fileExists(atPath: folder))
        #expect(try foreign.domain.isActive())
    }
}

#endif

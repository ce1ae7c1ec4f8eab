#if Libvirt
import Custody
import Foundation
import Glibc
import GuestChannel
import Testing

@testable import LibvirtBackend

/// Real domains of the driver in this process, without a back end.
@Suite(.timeLimit(.minutes(60))) struct DomainTests {
    private static func dimm(_ alias: String, at base: UInt64, mebibytes: Int) -> XMLElement {
        XMLElement(
            "memory",
            ["model": "dimm"],
            [
                XMLElement(
                    "target",
                    [:],
                    [XMLElement("size", ["unit": "MiB"], text: "\(mebibytes)"), XMLElement("node", text: "0")]
                ),
                XMLElement("alias", ["name": alias]),
                XMLElement("address", ["type": "dimm", "slot": "0", "base": "0x" + String(base, radix: 16)]),
            ]
        )
    }

    /// A device goes when the guest lets it, stays when it refuses, and waits when it says nothing.
    @Test func theGuestDecides() async throws {
        let connection = try TestRoot.connect()
        let name = "decides-\(getpid())"
        var configuration = DomainConfiguration(name: name, regionsEnd: (4 << 30) + (64 << 20), slots: 4)
        configuration.firmware = try TestRoot.firmware()
        let socket = TestRoot.root.path + "/\(name).sock"
        configuration.serialSocket = socket
        let domain = try connection.define(configuration.description)
        let uuid = domain.uuid
        defer {
            try? connection.domain(named: name)?.destroy()
            try? connection.domain(named: name)?.undefine()
        }
        // Room for what other tests make happen while this one does not get its turn.
        let events = try DomainEvents(of: connection, capacity: 1 << 16)
        var iterator = events.makeAsyncIterator()
        func next() async -> DomainEvent.Kind? {
            while let event = await iterator.next() { if event.domain == uuid { return event.kind } }
            return nil
        }
        try domain.create()
        let guest = try MicroGuestConsole(path: socket)
        var kind = await next()
        while kind != .started { kind = await next() }
        #expect(try XMLElement(parsing: domain.describe())["id"] != nil)

        try domain.attach(DomainTests.dimm("ua-a", at: 4 << 30, mebibytes: 16))
        kind = await next()
        while kind != .deviceAdded("ua-a") { kind = await next() }
        let devices = try XMLElement(parsing: domain.describe()).first("devices")?.elements("memory")
        #expect(devices?.first?.first("address")?["base"] == "0x100000000")

        try guest.answerRemovals(by: .refuse)
        try domain.requestDetach(alias: "ua-a")
        #expect(await next() == .deviceRemovalFailed("ua-a"))
        try guest.answerRemovals(by: .ignore)
        try domain.requestDetach(alias: "ua-a")
        try guest.answerRemovals(by: .accept)
        #expect(await next() == .deviceRemoved("ua-a"))
        #expect(try XMLElement(parsing: domain.describe()).first("devices", "memory") == nil)

        // What is not there, and what does not fit.
        let missing = #expect(throws: VirError.self) { try domain.requestDetach(alias: "ua-a") }
        #expect(missing?.code == .internalError || missing?.code == .deviceMissing)
        let malformed = #expect(throws: VirError.self) { try domain.attach(XMLElement("memory", ["model": "dimm"])) }
        #expect(malformed?.code == .xmlError || malformed?.code == .xmlDetail)
        let beyond = #expect(throws: VirError.self) {
            try domain.attach(DomainTests.dimm("ua-b", at: 4 << 30, mebibytes: 1024))
        }
        #expect(beyond?.code == .configUnsupported)
        #expect(try domain.peek(at: 0xffff0, count: 1) == [0xe9])
        try domain.destroy()
        kind = await next()
        while kind != .stopped(.destroyed) { kind = await next() }
    }

    @Test(arguments: ["relative", "/" + String(repeating: "a", count: 60)])
    func aRootThatCannotBeIsAnError(path: String) {
        let error = #expect(throws: BackendError.self) { try EmbeddedRoot(path).prepare() }
        #expect(error?.code == .invalidArgument)
    }
}

#endif

#if Libvirt
import Custody
import Foundation
import Glibc
import Synchronization
import Testing

@testable import LibvirtBackend

/// Connections, handles, errors and events, against libvirt's own test driver.
@Suite(.timeLimit(.minutes(60))) struct ConnectionTests {
    /// A test driver of its own for each test: ‘default’ is one for the whole process.
    private func connect(_ gate: any CallGate = OpenGate()) throws -> Connection {
        let file = FileManager.default.temporaryDirectory.appending(component: "custody-\(UUID()).xml")
        defer { try? FileManager.default.removeItem(at: file) }
        let domain = XMLElement(
            "domain",
            ["type": "test"],
            [
                XMLElement("name", text: "test"), XMLElement("memory", text: "8192"),
                XMLElement("os", [:], [XMLElement("type", text: "hvm")]),
            ]
        )
        try XMLElement("node", [:], [domain]).text.write(to: file, atomically: true, encoding: .utf8)
        return try Connection.open("test://" + file.path(percentEncoded: false), gate: gate)
    }

    @Test func aDomainIsFoundByNameAndByUUID() throws {
        let connection = try connect()
        #expect(try connection.domainNames() == ["test"])
        guard let domain = try connection.domain(named: "test") else {
            Issue.record("the test driver has a domain ‘test’")
            return
        }
        let uuid = domain.uuid
        #expect(uuid.count == 36)
        guard let other = try connection.domain(uuid: uuid) else {
            Issue.record("it is not found by its UUID")
            return
        }
        let name = other.name
        #expect(name == "test")
        let isActive = try other.isActive()
        #expect(isActive)
    }

    @Test func whatIsNotThereIsNil() throws {
        let connection = try connect()
        let name = try connection.domain(named: "nobody")
        let isNamed = name != nil
        #expect(!isNamed)
        let uuid = try connection.domain(uuid: "00000000-0000-0000-0000-000000000001")
        let isThere = uuid != nil
        #expect(!isThere)
    }

    /// Libvirt asks whoever connects for a name and a secret, and takes the right ones alone.
    @Test func whoConnectsIsAskedForNameAndSecret() throws {
        let file = FileManager.default.temporaryDirectory.appending(component: "custody-\(UUID()).xml")
        defer { try? FileManager.default.removeItem(at: file) }
        let user = XMLElement("user", ["password": "secret"], text: "somebody")
        let node = XMLElement("node", [:], [XMLElement("auth", [:], [user])])
        try node.text.write(to: file, atomically: true, encoding: .utf8)
        let uri = "test://" + file.path(percentEncoded: false)
        let asked = Locked<[ConnectionCredential]>([])
        func open(_ secret: String?) throws(VirError) -> Connection {
            let authentication = ConnectionAuthentication { credential in
                asked.withLock { $0.append(credential) }
                return credential.kind == .authenticationName ? "somebody" : secret
            }
            return try Connection.open(uri, gate: OpenGate(), authentication)
        }
        let connection = try open("secret")
        #expect(asked.withLock { $0.map(\.kind) } == [.authenticationName, .passphrase])
        #expect(asked.withLock { $0.allSatisfy { !$0.prompt.isEmpty } })
        #expect(try connection.domainNames() == [])
        let isKept = connection.share().authentication != nil
        #expect(isKept, "a connection that is made again is authenticated again")
        for secret in ["other", nil] {
            let error = #expect(throws: VirError.self) { _ = try open(secret) }
            #expect(error?.message.contains("authentication") == true, "\(error as Any)")
        }
        let nobody = #expect(throws: VirError.self) { _ = try Connection.open(uri) }
        #expect(nobody?.call == "virConnectOpen")
    }

    @Test func anErrorIsReadWhole() throws {
        let error = #expect(throws: VirError.self) { _ = try Connection.open("nothing://here") }
        #expect(error?.code == .systemError)
        #expect(error?.call == "virConnectOpen")
        let missing = #expect(throws: VirError.self) {
            _ = try Connection.open("qemu+unix:///system?socket=/nonexistent/socket")
        }
        #expect(missing?.code == .systemError)
        #expect(missing?.int1 == ENOENT)
        #expect(missing?.level == 2)
        #expect(missing?.domain == 7)
        #expect(missing?.message.contains("/nonexistent/socket") == true)
    }

    /// An error belongs to the thread of its call: what other threads do meanwhile cannot replace it.
    @Test func errorsOfSeveralThreadsDoNotMix() async throws {
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<8 {
                group.addTask {
                    let worker = try? ThreadExecutor()
                    for round in 0..<50 {
                        let path = "/nonexistent/\(number)-\(round)"
                        let message = await worker?.run { () -> String in
                            do throws(VirError) {
                                _ = try Connection.open("qemu+unix:///system?socket=\(path)")
                                return "connected"
                            } catch {
                                return error.message
                            }
                        }
                        #expect(message?.contains(path + "'") == true)
                    }
                }
            }
        }
    }

    @Test func whatTheDriverLacksIsUnsupported() throws {
        let connection = try connect()
        let domain = try connection.domain(named: "test")
        let error = #expect(throws: VirError.self) { try domain?.requestDetach(alias: "dimm0") }
        #expect(error?.code == .noSupport)
        #expect(error?.asBackendError("no").code == .unsupported)
    }

    @Test func aConnectionClosesWithItsLastReference() throws {
        let first = try connect()
        let second = first.share()
        let wasAlive = first.isAlive
        #expect(wasAlive)
        _ = consume first
        let isAlive = second.isAlive
        #expect(isAlive)
        #expect(try second.domainNames() == ["test"])
    }

    @Test func blockingCallsLeaveTheCooperativePool() async throws {
        let worker = try ThreadExecutor()
        let here = pthread_self()
        let threads = await withTaskGroup(of: UInt.self) { group in
            for _ in 0..<20 { group.addTask { await worker.run { pthread_self() } } }
            return await group.reduce(into: Set<UInt>()) { $0.insert($1) }
        }
        #expect(threads.count == 1)
        #expect(!threads.contains(here))
    }

    @Test func eventsCome() async throws {
        let connection = try connect()
        let uuid = try connection.domain(named: "test")?.uuid
        let events = try DomainEvents(of: connection, capacity: 1 << 16)
        try connection.domain(named: "test")?.suspend()
        try connection.domain(named: "test")?.resume()
        try connection.domain(named: "test")?.destroy()
        var kinds: [DomainEvent.Kind] = []
        for await event in events {
            #expect(event.domain == uuid)
            kinds.append(event.kind)
            if case .stopped = event.kind { break }
        }
        #expect(kinds == [.suspended, .resumed, .stopped(.destroyed)])
    }

    @Test func aListenerThatDoesNotKeepUpIsToldToLookForItself() async throws {
        let connection = try connect()
        let events = try DomainEvents(of: connection, capacity: 3)
        for _ in 0..<4 {
            try connection.domain(named: "test")?.suspend()
            try connection.domain(named: "test")?.resume()
        }
        // The last event of another listener that keeps up: by then all have been delivered to both.
        let other = try DomainEvents(of: connection, capacity: 1 << 16)
        try connection.domain(named: "test")?.destroy()
        for await event in other { if case .stopped = event.kind { break } }
        var iterator = events.makeAsyncIterator()
        #expect(await iterator.next() == DomainEvent(domain: nil, .reconcile))
        #expect(await iterator.next()?.kind != .reconcile)
    }

    @Test func aTaskThatIsCancelledStopsListening() async throws {
        let connection = try connect()
        let events = try DomainEvents(of: connection, capacity: 1 << 16)
        let task = Task { () -> Int in
            var count = 0
            for await _ in events { count += 1 }
            return count
        }
        task.cancel()
        #expect(await task.value == 0)
    }

    /// A registration that libvirt refuses does not keep the hub, and the ones before it are gone.
    @Test func aRegistrationThatFailsLeavesNothing() throws {
        for place in 1...8 {
            weak var hub: EventHub?
            do {
                let gate = FailingGate()
                let connection = try connect(gate)
                hub = connection.hub
                gate.fail(place)
                do throws(VirError) {
                    let subscription = try EventSubscription(to: connection, into: EventBuffer(capacity: 8))
                    #expect(place == 8)
                    _ = consume subscription
                } catch {
                    #expect(place < 8)
                    #expect(error.message == "injected")
                }
            }
            // Libvirt lets go on its own thread.
            let isGone = LiveGuest.waits { hub == nil }
            #expect(isGone, "after call \(place)")
        }
    }
}

#endif

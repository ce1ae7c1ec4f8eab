#if Libvirt
import Custody
import CustodyPolicy
import Foundation
import Glibc
import Testing

@testable import LibvirtBackend

/// What happens to a domain: for whoever wants to know, and for the back end itself where it could not be told.
@Suite(.timeLimit(.minutes(60))) struct DomainEventsTests {
    @Test func whoeverWantsToKnowIsToldUntilTheEnd() async throws {
        let live = try LiveGuest("told")
        let events = live.backend.domainEvents()
        let module = live.module()
        // Calls that block have a thread.
        let thread = try ThreadExecutor()
        let (controller, backend) = (live.controller, live.backend)
        try await thread.run {
            _ = try controller.convert(ConversionRequest(module, to: .shared, by: .host("test")))
            try backend.domain.use { domain throws(VirError) in
                try domain.suspend()
                try domain.resume()
            }
            kill(backend.emulator, SIGKILL)
        }
        var kinds: [DomainEvent.Kind] = []
        for await event in events { kinds.append(event.kind) }
        // The beginning may come in late, and the module's own event when it likes.
        let end = kinds.drop { $0 != .suspended }.filter { $0 != .deviceAdded("ua-custody-0") }
        #expect(end == [.suspended, .resumed, .stopped(.failed)])
        // Who comes late is told nothing.
        for await event in live.backend.domainEvents() { Issue.record("\(event)") }
        live.backend.shutDown()
    }

    /// A guest that does one thing when it starts: machine code for real mode, at the beginning of its firmware.
    private static func firmware(_ name: String, _ code: [UInt8]) throws -> String {
        // The processor begins at 0xFFFF0, with a near jump to the beginning of the segment, and rests after the code.
        var image = [UInt8](repeating: 0xF4, count: 64 << 10)
        image.replaceSubrange(0..<code.count + 3, with: code + [0xF4, 0xEB, 0xFD])
        image.replaceSubrange(0xFFF0..<0xFFF3, with: [0xE9, 0x0D, 0x00])
        let path = TestRoot.root.path + "/\(name)-\(getpid()).bin"
        try Data(image).write(to: URL(filePath: path), options: .atomic)
        return path
    }

    /// What happens to a domain with such a guest, up to an event.
    private static func events(
        of name: String,
        _ code: [UInt8],
        until end: DomainEvent.Kind,
        _ adjust: (inout XMLElement) -> Void = { _ in }
    ) async throws -> [DomainEvent.Kind] {
        let connection = try TestRoot.connect()
        // All domains of the connection: those of other tests take places while this one waits for its turn.
        let events = try DomainEvents(of: connection, capacity: 1 << 16)
        var configuration = DomainConfiguration(name: "\(name)-\(getpid())", regionsEnd: 5 << 30, slots: 1)
        configuration.firmware = try firmware(name, code)
        var description = configuration.description
        adjust(&description)
        let domain = try connection.create(description)
        let uuid = domain.uuid
        var kinds: [DomainEvent.Kind] = []
        for await event in events where event.domain == uuid || event.kind == .reconcile {
            kinds.append(event.kind)
            // Where events have been lost, the one that is waited for may be among them.
            if event.kind == end || event.kind == .reconcile { break }
        }
        try? domain.end()
        unsafe unlink(TestRoot.root.path + "/\(name)-\(getpid()).bin")
        return kinds
    }

    /// `mov dx, port; mov al, value; out dx, al`.
    private static func out(_ value: UInt8, to port: UInt16) -> [UInt8] {
        [0xBA, UInt8(truncatingIfNeeded: port), UInt8(port >> 8), 0xB0, value, 0xEE]
    }

    /// Code that is not run a second time: a byte of memory, which a reset leaves alone, tells that it has been.
    private static func once(_ code: [UInt8]) -> [UInt8] {
        // `cmp byte [0x500], 0x5A; je end; mov byte [0x500], 0x5A`.
        [0x80, 0x3E, 0x00, 0x05, 0x5A, 0x74, UInt8(5 + code.count), 0xC6, 0x06, 0x00, 0x05, 0x5A] + code
    }

    /// A guest says that it has panicked by the device that the domains of this package have (QEMU docs/specs/pvpanic).
    @Test func aPanicIsToldAsOne() async throws {
        let kinds = try await Self.events(of: "panics", Self.out(1, to: 0x505), until: .stopped(.crashed))
        #expect(kinds.contains(.crashed(.panicked)), "\(kinds)")
        #expect(kinds.last == .stopped(.crashed))
    }

    /// A guest that resets its machine, by the keyboard's controller, runs on. Once: without end it would drown the events
    /// of all other domains.
    @Test func aRebootIsToldAsOne() async throws {
        let code = Self.once(Self.out(0xFE, to: 0x64))
        let kinds = try await Self.events(of: "reboots", code, until: .rebooted) { description in
            description = description.changing(["on_reboot"]) { $0 = XMLElement("on_reboot", text: "restart") }
        }
        #expect(kinds.last == .rebooted, "\(kinds)")
        #expect(!kinds.contains { if case .stopped = $0 { true } else { false } })
    }

    /// What libvirt's numbers are.
    @Test func numbersOfLibvirtAreTyped() {
        #expect(DomainEvent.Kind(lifecycle: 8, 0) == .crashed(.panicked))
        #expect(DomainEvent.Kind(lifecycle: 8, 1) == .crashed(.crashLoaded))
        #expect(DomainEvent.Kind(lifecycle: 8, 7) == .crashed(.unknown))
        #expect(DomainEvent.Kind(lifecycle: 5, 2) == .stopped(.crashed))
        #expect(DomainEvent.Kind(lifecycle: 6, 0) == .lifecycle(6, 0))
    }

    /// That a domain has ended is seen by whoever looks, before libvirt tells of it, which it does all the same.
    @Test func theEndIsToldAlthoughItHasBeenSeenBefore() async throws {
        let live = try LiveGuest("seen")
        let events = live.backend.domainEvents()
        live.backend.executor.drain()
        _ = live.backend.lose(BackendError(.lost, "the process that ran the domain has ended"))
        live.backend.executor.drain()
        kill(live.backend.emulator, SIGKILL)
        var last: DomainEvent.Kind?
        for await event in events { last = event.kind }
        #expect(last == .stopped(.failed))
    }

    /// A sequence has an end where nobody tells of the domain's.
    @Test func theSequenceEndsWithALossThatNobodyTellsOf() async throws {
        let live = try LiveGuest("untold", patience: .milliseconds(50))
        let events = live.backend.domainEvents()
        _ = live.backend.lose(BackendError(.lost, "the domain is gone"))
        for await event in events where event.kind == .stopped(.destroyed) { Issue.record("\(event)") }
    }

    /// A module that is plugged in while the description is being read is not in that description, and is there.
    @Test func aDescriptionThatIsOldAlreadyTakesNothingAway() throws {
        let gate = MeanwhileGate()
        let live = try LiveGuest("described", gate: gate)
        try live.answerRemovals(.ignore)
        live.backend.executor.drain()
        let module = live.module()
        let controller = live.controller
        gate.doOnce(after: .libvirt(.describe)) {
            let done = DispatchSemaphore(value: 0)
            Foundation.Thread.detachNewThread {
                _ = try? controller.convert(ConversionRequest(module, to: .shared, by: .host("test")))
                done.signal()
            }
            done.wait()
        }
        live.backend.executor.submit { [backend = live.backend] in backend.catchUp() }
        live.backend.executor.drain()
        #expect(gate.isDone)
        #expect(live.ownership == [.shared])
        #expect(live.controller.pendingTickets.isEmpty)
        #expect(live.backend.ledger.withLock { $0.presence } == [.plugged])
        #expect(try live.plugged() == [0])
    }
}
#endif

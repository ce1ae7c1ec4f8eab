#if Libvirt
import Custody
import CustodyOptions
import CustodyConfiguration
import CustodyPolicy
import CustodyTestSupport
import Foundation
import Glibc
import GuestChannel
import Testing

@testable import LibvirtBackend

/// What needs a kernel in the guest: its drivers for virtio-mem, the balloon and memory that is plugged in, and the agent.
@Suite(.serialized, .timeLimit(.minutes(60))) struct LinuxGuestTests {
    private static let patience = LiveGuest.patience

    /// Memory of a pool that is configured goes back to the host by amount: at once where it is free, not at all where it is
    /// pinned, and with a nudge when it is let go of. Another back end goes on with the pool.
    @Test func aPoolGrowsAndShrinks() throws {
        let linux = try LinuxGuest()
        let configuration = try Configuration(
            YAMLReader.read(
                """
                backend: libvirt
                guest:
                  memory: [{at: 4GiB, size: 128MiB}]
                backends:
                  libvirt:
                    root: \(TestRoot.root.path)
                    memory: \(TestRoot.root.memory)
                    accept-disk: true
                    domain: facet-pool-\(getpid())
                    guest: linux
                    kernel: \(linux.kernel)
                    initrd: \(linux.initialFileSystem)
                    command-line: console=ttyS0 quiet panic=-1 custody.online=online_movable
                    base-memory: 512MiB
                    elastic-pools: [{at: 5GiB, size: 512MiB}]
                    balloon: true
                """,
                file: "linux.yaml"
            ),
            registry: BackendRegistry([LibvirtProvider()])
        )
        func make() throws -> LibvirtBackend {
            try LibvirtBackend(configuration.guest, options: LibvirtOptions(configuration.backendOptions))
        }
        let before = try make()
        let connection = try TestRoot.connect()
        defer { try? connection.domain(named: before.domain.name)?.destroy() }
        let events = EventBuffer(capacity: 4096)
        let subscription = try EventSubscription(to: connection, into: events)
        defer { withExtendedLifetime(subscription) {} }
        /// Libvirt tells of memory in KiB, at most once a second.
        func waits(for kind: DomainEvent.Kind) -> Bool {
            LiveGuest.waits { events.takeAll().contains { $0.kind == kind } }
        }
        try #require(before.channel).greet(within: Self.patience)
        let grown = try #require(try before.facets().pools.first)
        #expect(grown.size == 512 << 20 && grown.capabilities.granularity == 2 << 20)
        #expect(grown.address == GuestPhysicalAddress(5 << 30))
        var state = try grown.state()
        #expect(state.current == 0 && state.isSettled && state.holder == nil && state.hostBytes == 512 << 20)
        #expect(try grown.allocatedBytes() == 0)
        for wrong: UInt64 in [1, 1 << 20, 514 << 20, .max] {
            let error = #expect(throws: BackendError.self) { try grown.request(wrong) }
            #expect(error?.code == .invalidArgument)
        }

        try grown.request(256 << 20)
        state = try grown.settle(within: Self.patience)
        #expect(state.current == 256 << 20 && state.isSettled)
        #expect(waits(for: .memoryDeviceSized(grown.alias, kibibytes: 256 << 10)))
        // A file system in memory may count a page more.
        let taken = try #require(try grown.allocatedBytes())
        #expect(taken >= 256 << 20, "the host had it all before the guest got it")

        // The next process finds the pool as it is, and the guest.
        before.abandon()
        let backend = try make()
        defer { backend.shutDown() }
        let facets = try backend.facets()
        let pool = try #require(facets.pools.first)
        #expect(try facets.pools.count == 1 && pool.state() == state)
        let channel = try #require(backend.channel)
        try channel.greet(within: Self.patience)
        func hold(_ byteCount: UInt64, pinned: Bool = false) throws {
            let result = try channel.perform(.hold(byteCount: byteCount, pinned: pinned), within: Self.patience)
            #expect(result.status == .done && result.error == 0)
        }
        try hold(200 << 20)

        // The guest can move what it holds, until it is pinned.
        try hold(128 << 20, pinned: true)
        try pool.request(0)
        state = try pool.settle(within: .seconds(3), nudgingEvery: nil)
        #expect(!state.isSettled && state.requested == 0 && state.current >= 64 << 20)
        #expect(state.holder?.device == "guest" && state.holder?.queue == pool.alias)
        #expect(state.holder?.purpose?.contains("give") == true)
        // The request can be taken back …
        try pool.withdraw()
        state = try pool.settle(within: Self.patience)
        #expect(state.isSettled && state.current >= 64 << 20)
        // … and made again. Nobody wakes the guest when it could: a nudge does.
        try pool.request(0)
        try hold(0)
        state = try pool.settle(within: Self.patience)
        #expect(state.isSettled && state.current == 0 && state.hostBytes == 512 << 20)
        #expect(try pool.allocatedBytes() == 0, "the host has all of it back")

        // Pressure, in the same guest: asked and actual.
        let balloon = try #require(facets.balloon)
        var pressure = try balloon.state()
        let all = balloon.maximum
        #expect(pressure == BalloonState(asked: nil, actual: all) && pressure.isSettled && all == 512 << 20)
        try balloon.ask(all - (64 << 20))
        pressure = try balloon.settle(within: Self.patience)
        #expect(pressure.asked == all - (64 << 20) && pressure.actual == all - (64 << 20))
        #expect(waits(for: .ballooned(kibibytes: (all >> 10) - (64 << 10))))
        try balloon.ask(all)
        pressure = try balloon.settle(within: Self.patience)
        #expect(pressure.actual == all && pressure.holder == nil)

        // It takes pages of a module, too: the guest prefers to use that for what it can move.
        let controller = MemoryController(backend: backend, policy: AllowAll(), limits: ControllerLimits())
        let region = backend.layout.regions[0]
        let outcome = try controller.convert(ConversionRequest(region, to: .shared, by: .host("test")))
        #expect(outcome.changedPages == region.count)
        let backed = try backend.modules[0].file.backedBytes()
        #expect(backed >= region.byteCount)
        let larger = try #require(try backend.facets().balloon)
        #expect(larger.maximum == all + region.byteCount)
        var left = larger.maximum
        let hasTaken = LiveGuest.waits {
            left = max(left - (32 << 20), 384 << 20)
            try larger.ask(left)
            _ = try larger.settle(within: .seconds(1))
            return try backend.modules[0].file.backedBytes() < backed
        }
        #expect(hasTaken)
    }

    /// A module that the guest uses for what it can move goes; one with something in it that it cannot does not.
    @Test func aModuleGoesWhenTheGuestCanMoveWhatIsInIt() throws {
        let guest = try FacetDomain("modules", linux: LinuxGuest())
        let channel = try guest.channel()
        try channel.greet(within: Self.patience)
        let buffer = EventBuffer(capacity: 64)
        let subscription = try EventSubscription(to: guest.connection, into: buffer)
        defer { _ = subscription }
        let base: UInt64 = 4 << 30
        let size: UInt64 = 128 << 20

        func attach(_ alias: String) throws {
            let target = [XMLElement("size", ["unit": "MiB"], text: "128"), XMLElement("node", text: "0")]
            let device = XMLElement(
                "memory",
                ["model": "dimm"],
                [
                    XMLElement("target", [:], target), XMLElement("alias", ["name": alias]),
                    XMLElement("address", ["type": "dimm", "slot": "0", "base": "0x" + String(base, radix: 16)]),
                ]
            )
            try guest.domain.attach(device)
        }
        /// The guest takes a moment to see what was plugged in.
        func online(_ zone: ChannelCommand.Zone) throws {
            let deadline = ContinuousClock.now + Self.patience
            while true {
                let result = try channel.perform(.online(address: base, byteCount: size, zone), within: Self.patience)
                if result.status == .done { return }
                guard result.error == UInt32(ENOENT), ContinuousClock.now < deadline else {
                    Issue.record("the guest does not use the module: \(result)")
                    return
                }
                usleep(20_000)
            }
        }
        func wait(for kinds: [DomainEvent.Kind], _ patience: Duration) -> DomainEvent.Kind? {
            let deadline = ContinuousClock.now + patience
            while ContinuousClock.now < deadline {
                if let kind = buffer.takeAll().map(\.kind).first(where: kinds.contains) { return kind }
                usleep(10_000)
            }
            return nil
        }
        func hold(_ byteCount: UInt64, pinned: Bool) throws {
            let result = try channel.perform(.hold(byteCount: byteCount, pinned: pinned), within: Self.patience)
            #expect(result.status == .done && result.error == 0)
        }

        // What it holds there is moved away.
        try attach("ua-movable")
        try online(.movable)
        try hold(64 << 20, pinned: false)
        try guest.domain.requestDetach(alias: "ua-movable")
        #expect(
            wait(for: [.deviceRemoved("ua-movable"), .deviceRemovalFailed("ua-movable")], Self.patience)
                == .deviceRemoved("ua-movable")
        )
        #expect(try guest.description().memoryDevices("dimm").isEmpty)
        try hold(0, pinned: false)

        // What is pinned is not: it fails or stays pending, and the module is there.
        try attach("ua-kernel")
        try online(.kernel)
        try hold(64 << 20, pinned: true)
        try guest.domain.requestDetach(alias: "ua-kernel")
        let answer = wait(for: [.deviceRemoved("ua-kernel"), .deviceRemovalFailed("ua-kernel")], .seconds(5))
        #expect(answer == nil || answer == .deviceRemovalFailed("ua-kernel"))
        #expect(try guest.description().memoryDevices("dimm").map(\.alias) == ["ua-kernel"])
    }

    /// The guest's own requests, by the agent in it, reach the controller of its domain's back end, with its policy: pages
    /// become private and shared, and a module that the guest gives back is unplugged.
    @Test func theAgentsRequestsReachTheController() throws {
        let linux = try LinuxGuest()
        var options = LiveGuest.options("facet-agent-\(getpid())")
        options.guest = .linux
        options.kernel = linux.kernel
        options.initrd = linux.initialFileSystem
        options.commandLine = "console=ttyS0 quiet panic=-1 custody.online=online_movable"
        options.baseMemory = ByteCount(256 << 20)
        let base: UInt64 = 4 << 30
        let size: UInt64 = 128 << 20
        let region = try PageRange(address: GuestPhysicalAddress(base), byteCount: size)
        let secret = try PageRange(address: GuestPhysicalAddress(base + (8 << 20)), byteCount: 4096)
        let backend = try LibvirtBackend(
            GuestConfiguration(layout: GuestMemoryLayout(regions: [region])),
            options: options
        )
        defer { backend.shutDown() }
        let controller = MemoryController(
            backend: backend,
            policy: ProtectedRange(secret, neverBecoming: [.shared]),
            limits: ControllerLimits()
        )
        let guest = try #require(backend.guestAgent)
        let deadline = ContinuousClock.now + Self.patience
        /// A guest that still boots says nothing yet.
        func ask(_ offset: UInt64, _ byteCount: UInt64, _ target: Ownership) throws -> GuestOutcome {
            let operation = GuestOperation.request(address: base + offset, byteCount: byteCount, target: target)
            while true {
                do throws(BackendError) {
                    return try guest.perform(operation, on: 0, answeringTo: controller)
                } catch {
                    guard error.code == .guestFailed, ContinuousClock.now < deadline else { throw error }
                }
            }
        }
        /// What does not go at once is asked for again.
        func askUntilDone(_ offset: UInt64, _ byteCount: UInt64, _ target: Ownership) throws -> Bool {
            var failure: (any Error)?
            let isAnswered = LiveGuest.waits {
                do {
                    let reply = try ask(offset, byteCount, target)
                    if case .reply(.retry) = reply { return false }
                    #expect(reply == .reply(.done))
                } catch { failure = error }
                return true
            }
            if let failure { throw failure }
            return isAnswered
        }
        func ownership() -> [PageRun<Ownership>] { controller.runs(in: region) }
        // The guest asks for the module, and its kernel uses what is plugged in then.
        #expect(ownership().map(\.state) == [.host])
        #expect(try ask(0, size, .shared) == .reply(.refused), "the policy protects a page of it")
        #expect(try askUntilDone(0, size, .private))
        #expect(ownership().map(\.state) == [.private])
        #expect(try ask(0, 4096, .shared) == .reply(.done))
        #expect(try ask(8 << 20, 4096, .shared) == .reply(.refused), "the policy protects it")
        #expect(try ask(size, 4096, .shared) == .reply(.refused), "there is no memory")
        #expect(ownership().map(\.state) == [.shared, .private])
        #expect(ownership().map(\.range.count) == [1, region.count - 1])
        let lease = try controller.lease(
            PageRange(address: GuestPhysicalAddress(base), byteCount: 4096),
            .pin,
            for: Holder(device: "nic")
        )
        #expect(try ask(0, 4096, .private) == .reply(.retry(from: GuestPhysicalAddress(base))))
        lease.release()
        #expect(try askUntilDone(0, 4096, .private))
        #expect(ownership().map(\.state) == [.private])
        // All of the module: the guest's own kernel is asked to let it go, and does.
        #expect(try askUntilDone(0, size, .host))
        #expect(ownership().map(\.state) == [.host])
        let description = try LiveDescription(parsing: backend.domain.describe().text)
        #expect(description.memoryDevices("dimm").isEmpty)
        // What is beside the modules is there all the same.
        let facets = try backend.facets()
        #expect(facets.memory.sharing == .byName && facets.inspection != nil && facets.pools.isEmpty)
    }
}

#endif

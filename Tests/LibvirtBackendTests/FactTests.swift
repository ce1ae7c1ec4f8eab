#if Libvirt
import CLibvirt
import Custody
import Foundation
import Glibc
import GuestChannel
import Testing

@testable import LibvirtBackend

/// What libvirt and QEMU do that the back end relies on, or guards against.
@Suite(.timeLimit(.minutes(60))) struct FactTests {
    private static func dimm(_ alias: String, slot: Int, base: UInt64, kibibytes: Int) -> XMLElement {
        XMLElement(
            "memory",
            ["model": "dimm"],
            [
                XMLElement(
                    "target",
                    [:],
                    [XMLElement("size", ["unit": "KiB"], text: "\(kibibytes)"), XMLElement("node", text: "0")]
                ),
                XMLElement("alias", ["name": alias]),
                XMLElement("address", ["type": "dimm", "slot": "\(slot)", "base": "0x" + String(base, radix: 16)]),
            ]
        )
    }

    /// The driver in this process takes one root, and says so of a second one.
    @Test func aProcessHasOneRoot() throws {
        let connection = try TestRoot.connect()
        let second = EmbeddedRoot("/tmp/custody-second-\(getpid())")
        try second.prepare()
        defer { try? FileManager.default.removeItem(atPath: second.path) }
        let error = #expect(throws: VirError.self) { _ = try Connection.open(second.uri) }
        #expect(error?.code == .internalError)
        #expect(error?.message.contains("already open with path") == true)
        #expect(try connection.capabilities().contains("<capabilities>"))
        // As a user of the back end sees it.
        var options = LiveGuest.options("second")
        options.root = second.path
        options.memory = second.memory
        let guest = try GuestConfiguration(layout: GuestMemoryLayout(regions: [LiveGuest.module(0, mebibytes: 1)]))
        let refusal = #expect(throws: BackendError.self) { _ = try LibvirtBackend(guest, options: options) }
        #expect(refusal?.code == .unavailable)
        #expect((refusal?.cause as? VirError)?.message.contains("already open with path") == true)
    }

    /// Modules that overlap, or have the slot of another one, are not there: libvirt says so, and nothing changes.
    @Test func whatOverlapsIsRefused() throws {
        let guest = try FacetDomain("overlap")
        let base: UInt64 = 4 << 30
        try guest.domain.attach(Self.dimm("ua-a", slot: 1, base: base, kibibytes: 2048))
        for (slot, base) in [(2, base + (1 << 20)), (1, base + (64 << 20))] {
            let error = #expect(throws: VirError.self) {
                try guest.domain.attach(Self.dimm("ua-b", slot: slot, base: base, kibibytes: 2048))
            }
            #expect(error?.code == .configUnsupported || error?.code == .internalError, "\(error as Any)")
            #expect(try guest.description().memoryDevices("dimm").map(\.alias) == ["ua-a"])
        }
        // What libvirt tells is in KiB, whatever it was told.
        let device = try #require(guest.description().memoryDevices("dimm").first?.device)
        #expect(device.first("target", "size")?["unit"] == "KiB")
        #expect(device.first("target", "size")?.byteCount == 2 << 20)
    }

    /// An error of QEMU's monitor is an answer to libvirt, and an error here.
    @Test func anErrorOfTheMonitorIsAnAnswer() throws {
        let guest = try FacetDomain("monitor")
        let answer = try guest.domain.monitor(#"{"execute":"custody-has-no-such-command"}"#)
        #expect(answer.contains(#""error""#) && answer.contains("CommandNotFound"))
        let error = #expect(throws: BackendError.self) {
            _ = try guest.domain.ask("custody-has-no-such-command", for: String.self)
        }
        #expect(error?.code == .system)
        #expect(error?.message.contains("CommandNotFound") == true)
    }

    /// A q35 machine has no place for a window until it is given a bridge: an error, no file, and the guest runs on.
    @Test func aWindowNeedsAPlaceOnQ35() throws {
        let guest = try FacetDomain("q35") { $0.machine = "q35" }
        let name = FacetDomain.windowName("q35")
        let error = #expect(throws: BackendError.self) {
            _ = try SharedWindow.make(name, byteCount: 1 << 20, for: guest.domain, on: guest.connection)
        }
        #expect((error?.cause as? VirError)?.message.contains("No more available PCI slots") == true, "\(error as Any)")
        #expect(!FacetDomain.hasFile(name))
        #expect(try guest.isRunning())
        let other = try FacetDomain("q35-bridge") { configuration in
            configuration.machine = "q35"
            for (number, model) in ["pcie-root", "pcie-root-port", "pcie-to-pci-bridge"].enumerated() {
                configuration.devices.append(
                    XMLElement("controller", ["type": "pci", "index": "\(number)", "model": model])
                )
            }
        }
        let window = try SharedWindow.make(name, byteCount: 1 << 20, for: other.domain, on: other.connection)
        #expect(try window.place() == .shared)
        #expect(try other.description().windows.compactMap { $0["name"] } == [name])
        try other.domain.end()
        unsafe unlink("/dev/shm/" + name)
    }

    /// `virConnectClose` says whether anybody has a reference left: a callback that is registered is one, and the back end
    /// leaves none.
    @Test func aConnectionIsClosedWithItsLastListener() throws {
        for isRegistered in [false, true] {
            weak var hub: EventHub?
            let pointer = try {
                let connection = try Connection.open("test:///default")
                hub = connection.hub
                let subscription = try EventSubscription(to: connection, into: EventBuffer(capacity: 8))
                unsafe virConnectRef(connection.pointer)
                _ = consume subscription
                return unsafe connection.pointer
            }()
            // Libvirt lets go of callbacks on its own thread.
            let isGone = LiveGuest.waits { hub == nil }
            #expect(isGone)
            var callback: Int32 = -1
            if isRegistered {
                let ignore: virConnectDomainEventGenericCallback = { _, _, _ in }
                callback = unsafe virConnectDomainEventRegisterAny(
                    pointer,
                    nil,
                    Int32(VIR_DOMAIN_EVENT_ID_REBOOT.rawValue),
                    ignore,
                    nil,
                    nil
                )
                #expect(callback >= 0)
                unsafe virConnectRef(pointer)
                #expect(unsafe virConnectClose(pointer) == 1)
                #expect(unsafe virConnectDomainEventDeregisterAny(pointer, callback) == 0)
            }
            #expect(unsafe virConnectClose(pointer) == 0)
        }
    }

    /// The name of a guest whose QEMU ended a moment ago can be had again, although libvirt has it in its list for a while.
    @Test func aNameCanBeHadAgainAtOnce() throws {
        for _ in 0..<2 {
            let first = try LiveGuest("again", modules: [1], initial: .shared, isOwner: false)
            let emulator = first.backend.emulator
            #expect(kill(emulator, SIGKILL) == 0)
            #expect(LiveGuest.waits { !LiveGuest.isAlive(emulator) })
            let second = try LiveGuest("again", modules: [1])
            #expect(second.backend.emulator != emulator)
            #expect(second.ownership == [.host])
            try second.convert(second.module(), to: .shared)
            #expect(try second.plugged() == [0])
        }
    }
}

#endif

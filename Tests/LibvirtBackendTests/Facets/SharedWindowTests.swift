#if Libvirt
import Custody
import Foundation
import Glibc
import GuestChannel
import Testing

@testable import LibvirtBackend

/// Windows of real domains, with the micro guest in them.
@Suite(.serialized, .timeLimit(.minutes(60))) struct SharedWindowTests {
    private static let size: UInt64 = 4 << 20

    @Test(arguments: [false, true])
    func aWindowComesAndGoesAndComesBackScrubbed(isSealable: Bool) throws {
        let guest = try FacetDomain("window")
        let console = try guest.console()
        let name = FacetDomain.windowName("round")
        let window = try SharedWindow.make(
            name,
            byteCount: Self.size,
            isSealable: isSealable,
            for: guest.domain,
            on: guest.connection
        )
        #expect(try guest.description().windows.compactMap { $0["name"] } == [name])
        #expect(try window.place() == .shared)
        #expect(try window.allocatedBytes() == 0)
        let secret = (0..<9000).map { UInt8(truncatingIfNeeded: $0 &* 31 | 1) }
        try window.write(secret, at: 4096)
        #expect(try window.read(9000, at: 4096) == secret)
        #expect(try window.allocatedBytes() == 3 * 4096)

        // A guest that says nothing leaves it pending; it can still do it later.
        try window.requestReturn()
        guard case .pending(let holders) = try window.waitForReturn(within: .milliseconds(300)) else {
            Issue.record("the guest did not answer, and the window is back")
            return
        }
        #expect(holders.map(\.device) == ["guest"])
        #expect(try window.place() == .shared)
        #expect(throws: BackendError.self) { try window.share() }
        #expect(throws: BackendError.self) { try window.remove() }
        if isSealable { #expect(try window.seal() == false) }
        try window.requestReturn()
        try console.answerRemovals(by: .accept)
        #expect(try window.waitForReturn(within: LiveGuest.patience) == .completed)
        #expect(try window.place() == .host)
        #expect(try guest.description().windows.isEmpty)
        #expect(try window.read(9000, at: 4096) == secret, "the contents stay")

        // Again, with nothing of what was in it.
        try window.share()
        #expect(try window.place() == .shared)
        #expect(try window.allocatedBytes() == 0)
        #expect(try window.read(9000, at: 4096).allSatisfy { $0 == 0 })
        try window.write([7], at: Self.size - 1)
        try window.requestReturn()
        #expect(try window.waitForReturn(within: LiveGuest.patience) == .completed)
        if isSealable {
            #expect(try window.seal())
            #expect(throws: BackendError.self) { try window.write([8], at: 0) }
            #expect(try window.read(1, at: Self.size - 1) == [7])
        } else {
            let error = #expect(throws: BackendError.self) { try window.seal() }
            #expect(error?.code == .unsupported)
        }
        try window.remove()
        #expect(!FacetDomain.hasFile(name))
    }

    /// Sleeps until these and nobody else hold a window up: a process that this one forks off has its files, too, until it
    /// becomes a program.
    private func waits(for window: SharedWindow, heldBy isHeld: ([Holder]) -> Bool) -> Bool {
        LiveGuest.waits {
            guard case .pending(let holders) = try window.waitForReturn(within: .milliseconds(50)) else { return false }
            return isHeld(holders)
        }
    }

    /// What would kill QEMU, or be there twice, is refused before libvirt sees it.
    @Test func whatCannotBeIsRefused() throws {
        let guest = try FacetDomain("refuse")
        func make(_ name: String, _ byteCount: UInt64) throws(BackendError) -> SharedWindow {
            try SharedWindow.make(name, byteCount: byteCount, for: guest.domain, on: guest.connection)
        }
        let name = FacetDomain.windowName("refuse")
        for size: UInt64 in [0, 1, 4096, (1 << 20) - 1, 3 << 20, (1 << 20) + 4096, 1 << 41, .max] {
            let error = #expect(throws: BackendError.self) { _ = try make(name, size) }
            #expect(error?.code == .invalidArgument, "\(size)")
        }
        for wrong in ["", ".", "..", "a/b", "-a", "a b", "ä", String(repeating: "a", count: 65), "a\0b", "a'b"] {
            let error = #expect(throws: BackendError.self) { _ = try make(wrong, 1 << 20) }
            #expect(error?.code == .invalidArgument, "\(wrong)")
        }
        #expect(!FacetDomain.hasFile(name))
        let window = try make(name, 1 << 20)
        let twice = #expect(throws: BackendError.self) { _ = try make(name, 1 << 20) }
        #expect(twice?.code == .invalidArgument)
        #expect(try guest.description().windows.count == 1)
        for (offset, count) in [(1 << 20, 1), (0, (1 << 20) + 1), (.max, 1), (0, -1)] as [(UInt64, Int)] {
            #expect(throws: BackendError.self) { try window.read(count, at: offset) }
        }
        // A file that is somebody else's is not taken for a window.
        let taken = FacetDomain.windowName("taken")
        try Data("theirs".utf8).write(to: URL(filePath: "/dev/shm/" + taken))
        let error = #expect(throws: BackendError.self) { _ = try make(taken, 1 << 20) }
        #expect(error?.code == .invalidArgument)
        #expect(try String(contentsOfFile: "/dev/shm/" + taken, encoding: .utf8) == "theirs")
        try FileManager.default.removeItem(atPath: "/dev/shm/" + taken)
        // The guest still runs: nothing of this has met QEMU.
        #expect(try guest.isRunning())
        try guest.console().answerRemovals(by: .accept)
        try window.requestReturn()
        #expect(try window.waitForReturn(within: LiveGuest.patience) == .completed)
        try window.remove()
        #expect(!FacetDomain.hasFile(name))
    }

    /// Somebody who has the file mapped is named as such, and does not get it away from under them.
    @Test func aProcessThatHasItOpenHoldsItUp() throws {
        let guest = try FacetDomain("held")
        try guest.console().answerRemovals(by: .accept)
        let name = FacetDomain.windowName("held")
        let window = try SharedWindow.make(name, byteCount: Self.size, for: guest.domain, on: guest.connection)
        let descriptor = unsafe open("/dev/shm/" + name, O_RDWR)
        #expect(descriptor >= 0)
        let memory = unsafe mmap(nil, Int(Self.size), PROT_READ, MAP_SHARED, descriptor, 0)
        close(descriptor)
        try window.requestReturn()
        let isMapped = waits(for: window) { holders in
            holders.map(\.process) == [getpid()] && holders.map(\.purpose) == ["has the window mapped"]
        }
        #expect(isMapped)
        #expect(try window.place() == .inTransit)
        #expect(throws: BackendError.self) { try window.share() }
        // Another process has it, too, and is named by what it calls itself.
        let processes = NeighbourProcesses()
        let range = try PageRange(address: GuestPhysicalAddress(0), byteCount: Self.size)
        try processes.map(range, path: "/dev/shm/" + name, offset: 0, as: "viewer")
        unsafe munmap(memory, Int(Self.size))
        #expect(
            waits(for: window) { holders in
                holders.map(\.device) == ["viewer"]
                    && holders.allSatisfy { FileHolder.command(of: $0.process ?? 0) == "viewer" }
            }
        )
        try processes.release(as: "viewer")
        #expect(try window.waitForReturn(within: LiveGuest.patience) == .completed)
        try window.remove()
        #expect(!FacetDomain.hasFile(name))
    }

    /// A guest that has ended has nothing: what was pending is over, and everything else says that the guest is gone.
    @Test func anEmulatorThatIsKilledEndsIt() throws {
        let guest = try FacetDomain("killed") { configuration in
            configuration.pools = [try .test()]
            configuration.hasBalloon = true
        }
        let name = FacetDomain.windowName("killed")
        let window = try SharedWindow.make(name, byteCount: Self.size, for: guest.domain, on: guest.connection)
        try window.write([5], at: 9)
        let facets = try DomainFacets(of: guest.domain, on: guest.connection)
        let pool = try #require(facets.pools.first)
        let balloon = try #require(facets.balloon)
        try pool.request(32 << 20)
        try window.requestReturn()
        guard case .pending = try window.waitForReturn(within: .zero) else {
            Issue.record("the guest ignores it")
            return
        }
        let uuid = guest.domain.uuid
        let emulator = try #require(
            ProcessMaps.processes.first { ProcessMaps.text("/proc/\($0)/cmdline").contains(uuid) }
        )
        #expect(kill(emulator, SIGKILL) == 0)
        #expect(try window.waitForReturn(within: LiveGuest.patience) == .completed)
        #expect(try window.place() == .host)
        #expect(try window.read(1, at: 9) == [5])
        func code(_ body: () throws(BackendError) -> Void) -> BackendError.Code? {
            do throws(BackendError) { try body() } catch { return error.code }
            return nil
        }
        #expect(code { () throws(BackendError) in _ = try pool.settle(within: LiveGuest.patience) } == .lost)
        #expect(code { () throws(BackendError) in try pool.request(0) } == .lost)
        #expect(code { () throws(BackendError) in _ = try balloon.state() } == .lost)
        #expect(code { () throws(BackendError) in try balloon.ask(8 << 20) } == .lost)
        #expect(code { () throws(BackendError) in try window.share() } == .lost)
        #expect(code { () throws(BackendError) in try facets.stopTheWorld.stop().close() } == .lost)
        #expect(code { () throws(BackendError) in _ = try facets.inspection?.memory() } == .lost)
        try window.remove()
        #expect(!FacetDomain.hasFile(name))
    }

    /// Another owner, as after a restart, finds it by its name.
    @Test func aWindowIsFoundAgain() throws {
        let guest = try FacetDomain("found")
        try guest.console().answerRemovals(by: .accept)
        let name = FacetDomain.windowName("found")
        do {
            let window = try SharedWindow.make(name, byteCount: Self.size, for: guest.domain, on: guest.connection)
            try window.write([1, 2, 3], at: 5)
        }
        let missing = #expect(throws: BackendError.self) {
            _ = try SharedWindow.find("custody-test-none", in: guest.domain, on: guest.connection)
        }
        #expect(missing?.code == .unavailable)
        let window = try SharedWindow.find(name, in: guest.domain, on: guest.connection)
        #expect(window.byteCount == Self.size)
        #expect(try window.read(3, at: 5) == [1, 2, 3])
        try window.requestReturn()
        #expect(try window.waitForReturn(within: LiveGuest.patience) == .completed)
        try window.remove()
        #expect(!FacetDomain.hasFile(name))
    }

    /// By whoever links the back end.
    @Test func aBackEndGivesItsDomainAWindow() throws {
        let live = try LiveGuest("window")
        try live.answerRemovals(.accept)
        let name = FacetDomain.windowName("backend")
        let window = try live.backend.makeSharedWindow(name, byteCount: 1 << 20)
        try window.write([1, 2], at: 0)
        #expect(try live.backend.sharedWindow(name).read(2, at: 0) == [1, 2])
        #expect(try live.backend.facets().capabilities.contains(SharedWindow.capabilities))
        try window.requestReturn()
        let ending = try window.waitForReturn(within: LiveGuest.patience)
        #expect(ending == .completed)
        try window.remove()
        #expect(throws: BackendError.self) { try live.backend.sharedWindow(name) }
        #expect(!FacetDomain.hasFile(name))
    }
}

#endif

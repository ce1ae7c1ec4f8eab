#if Libvirt
import Custody
import CustodyPolicy
import Foundation
import Glibc
import GuestChannel
import Testing

@testable import LibvirtBackend

/// Modules of a real guest, from the host and back.
@Suite(.timeLimit(.minutes(60))) struct ModuleTests {
    /// A module is in the NUMA cell that is configured, by QEMU's word and libvirt's, and one that there is not is refused.
    @Test func aModuleIsInItsCell() throws {
        struct Device: Decodable {
            struct Content: Decodable {
                let addr: UInt64
                let node: Int
            }
            let data: Content
        }
        func make(_ cells: [Int], fresh: Bool = false, isOwner: Bool = false) throws -> LiveGuest {
            try LiveGuest("cells", modules: [1, 1], initial: .shared, isOwner: isOwner) { options in
                options.numaCells = 2
                options.moduleCells = cells
                options.startsFresh = fresh
            }
        }
        let live = try make([1])
        let devices = try live.backend.domain.ask("query-memory-devices", for: [Device].self)
        let nodes = devices.sorted { $0.data.addr < $1.data.addr }.map(\.data.node)
        #expect(nodes == [1, 0])
        let description = try live.backend.domain.describe()
        #expect(description.memoryModule("ua-custody-0")?.first("target", "node")?.content == "1")
        let address = live.module().address
        try live.controller.write([7].span, to: address, for: Holder(device: "test"))
        #expect(try live.perform(.read(count: 1, from: address)) == .bytes([7]))
        try live.answerRemovals(.accept)
        #expect(try live.convert(live.module(), to: .host) == .zeroed)
        live.backend.abandon()
        // Another cell is another configuration, and a third one there is not.
        let other = #expect(throws: BackendError.self) { _ = try make([0]) }
        #expect(other?.message.contains("‘module-cells’ is 0, 0, and was 1, 0") == true, "\(other as Any)")
        let none = #expect(throws: BackendError.self) { _ = try make([2], fresh: true) }
        #expect(none?.code == .invalidArgument)
        #expect(none?.message.contains("in the NUMA cell 2 (module-cells), and the domain has 0, 1") == true)
        #expect(none?.range == live.module())
    }

    @Test func theHostsBytesComeWithAModuleAndItsMemoryGoesBack() throws {
        let live = try LiveGuest("bytes", modules: [4, 1])
        let address = live.module().address
        #expect(live.ownership == [.host, .host])
        // The host's, before the guest has it.
        try live.controller.write([7, 8, 9].span, to: address, for: Holder(device: "loader"))
        try live.convert(live.module(), to: .shared)
        #expect(try live.plugged() == [0])
        #expect(try live.perform(.read(count: 3, from: address)) == .bytes([7, 8, 9]))
        #expect(try live.backend.backedBytes(of: live.module()) == 4 << 20)

        try live.answerRemovals(.accept)
        let (ticket, _) = try live.begin(live.module(), to: .host)
        #expect(ticket.end == "completed, contents zeroed")
        #expect(try live.plugged() == [])
        #expect(live.ownership == [.host, .host])
        #expect(try live.backend.backedBytes(of: live.module()) == 0)
        #expect(try live.backend.modules[0].file.isOurs())
        var bytes: [UInt8] = [1, 1, 1]
        var span = bytes.mutableSpan
        try live.controller.read(&span, from: address, for: Holder(device: "loader"))
        #expect(bytes == [0, 0, 0])
        // And once more.
        try live.convert(live.module(), to: .shared)
        #expect(try live.perform(.read(count: 3, from: address)) == .bytes([0, 0, 0]))
    }

    @Test func aModuleCanBePrivateFromTheBeginning() throws {
        let live = try LiveGuest("private")
        let address = live.module().address
        try live.convert(live.module(), to: .private)
        #expect(try live.perform(.write([1, 2], to: address)) == .written)
        var bytes: [UInt8] = [0]
        var span = bytes.mutableSpan
        let error = #expect(throws: BackendError.self) { try live.backend.read(&span, from: address) }
        #expect(error?.fault?.address == address)
        #expect(error?.fault?.enforcement == .process)
        try live.convert(live.module(), to: .shared)
        try live.controller.read(&span, from: address, for: Holder(device: "test"))
        #expect(bytes == [1])
    }

    /// A guest's own request, answered by whoever the back end reports to.
    @Test func aGuestAsksByItself() throws {
        let live = try LiveGuest("asks", initial: .shared)
        let channel = try #require(live.backend.channel)
        try channel.greet(within: LiveGuest.patience)
        let address = live.module().address.rawValue
        func ask(_ request: ChannelRequest) throws -> ChannelReply {
            try ChannelReply(payload: channel.perform(.ask(request), within: LiveGuest.patience).data)
        }
        // What does not go at once is asked for again.
        let isDone = LiveGuest.waits {
            let reply = try ask(.convert(address: address, byteCount: 8192, to: .private))
            #expect(reply.status == .done || reply.status == .retry)
            return reply.status == .done
        }
        #expect(isDone)
        #expect(live.controller.runs(in: live.module()).map(\.state) == [.private, .shared])
        let query = try ask(.query(address: address, byteCount: 1 << 20))
        #expect(query.ownership == .private)
        #expect(query.byteCount == 8192)
        // Part of a module does not go; all of it, in one ownership, does.
        #expect(try ask(.convert(address: address, byteCount: 4 << 20, to: .host)).status == .refused)
        #expect(try ask(.convert(address: address, byteCount: 8192, to: .shared)).status == .done)
        try live.answerRemovals(.accept)
        #expect(try ask(.convert(address: address, byteCount: 4 << 20, to: .host)).status == .retry)
        #expect(LiveGuest.waits { live.ownership == [.host] })
        #expect(try live.plugged() == [])
    }

    /// What bounds a request by its pages does not cut a module, which goes in one step.
    @Test func aGuestGivesALargeModuleBack() throws {
        let live = try LiveGuest("large", modules: [3 << 10], initial: .shared) { $0.overcommits = true }
        let channel = try #require(live.backend.channel)
        try channel.greet(within: LiveGuest.patience)
        try live.answerRemovals(.accept)
        let (address, size) = (live.module().address.rawValue, live.module().byteCount)
        #expect(live.module().count > ControllerLimits().pagesPerGuestRequest)
        func give(_ byteCount: UInt64) throws -> ChannelReply {
            let request = ChannelRequest.convert(address: address, byteCount: byteCount, to: .host)
            return try ChannelReply(payload: channel.perform(.ask(request), within: LiveGuest.patience).data)
        }
        // Part of it, by the guest's own cut, is none.
        #expect(try give(1 << 30).status == .refused)
        #expect(live.ownership == [.shared])
        let first = try give(size)
        #expect(first.status == .retry)
        #expect(first.address == address)
        #expect(LiveGuest.waits { live.ownership == [.host] })
        #expect(try give(size).status == .done)
        #expect(try live.plugged() == [])
        #expect(try live.backend.backedBytes(of: live.module()) == 0)
    }

    /// A file that another process only has open is as much in the way as one that it has mapped.
    @Test func anOpenFileIsWaitedFor() throws {
        let live = try LiveGuest("open", initial: .shared)
        let path = live.backend.modules[0].file.path
        let holder = Process()
        holder.executableURL = URL(filePath: "/bin/sh")
        holder.arguments = ["-c", "exec 3<'\(path)'; echo; read line"]
        let (input, output) = (Pipe(), Pipe())
        holder.standardInput = input
        holder.standardOutput = output
        try holder.run()
        _ = output.fileHandleForReading.readData(ofLength: 1)
        let (ticket, blockers) = try live.begin(live.module(), to: .private, heldBy: ["sh"])
        #expect(blockers.map(\.holder.process) == [holder.processIdentifier])
        #expect(ticket.result == nil)
        try input.fileHandleForWriting.close()
        holder.waitUntilExit()
        #expect(ticket.end == "completed, contents preserved")
        #expect(live.ownership == [.private])
    }

    /// A process that is forked off has this one's files until it becomes a program, and is waited for as anybody is. It has no
    /// mapping of the guest's memory.
    @Test func aProcessThatIsForkedOffIsWaitedForAndHasNoMemory() throws {
        let live = try LiveGuest("forked", initial: .shared)
        let process = try ForkedProcess(keeping: live.backend.modules[0].file.descriptor.rawValue)
        let name = FileHolder.command(of: process.identity)
        let (ticket, blockers) = try live.begin(live.module(), to: .private, heldBy: [name])
        #expect(blockers.map(\.holder.process) == [process.identity])
        #expect(blockers.map(\.kind) == [.pin])
        #expect(ticket.result == nil)
        process.finish()
        #expect(ticket.end == "completed, contents preserved")
        #expect(live.ownership == [.private])
    }

    /// A mapping of other pages can be grown over these (mremap), and nobody would be asked.
    @Test func aMappingOfOtherPagesIsWaitedFor() throws {
        let live = try LiveGuest("beside", initial: .shared)
        let (first, last) = (try PageRange(live.module().start), try PageRange(live.module().last))
        try live.backend.map(first, as: "beside")
        let (ticket, blockers) = try live.begin(last, to: .private, heldBy: ["beside"])
        #expect(blockers.map(\.range) == [last])
        #expect(blockers.map(\.kind) == [.mapping])
        try live.backend.release(as: "beside")
        #expect(ticket.end == "completed, contents preserved")
    }

    /// What is asked of another process is checked before it is asked, and what it has not got is an error.
    @Test func anotherProcessCopiesNoSuchCount() throws {
        let live = try LiveGuest("count", modules: [1])
        let address = live.module().address
        try live.backend.map(live.module(), as: "other")
        for count in [-1, .min, 1 << 20, .max] {
            let error = #expect(throws: BackendError.self) {
                _ = try live.backend.read(count, from: address, as: "other")
            }
            #expect(error?.code == .invalidArgument, "\(count)")
        }
        let before = GuestPhysicalAddress(address.rawValue - 1)
        let beyond = GuestPhysicalAddress(address.rawValue + LiveGuest.mebibyte - 1)
        for (start, count) in [(before, 1), (beyond, 2)] {
            #expect(throws: BackendError.self) { _ = try live.backend.read(count, from: start, as: "other") }
        }
        #expect(try live.backend.read(0, from: address, as: "other") == [])
        #expect(try live.backend.read(1, from: beyond, as: "other") == [0])
    }

    /// A descriptor in the queue of a socket is no process's; before QEMU has the file the kernel knows of it all the same.
    @Test func aDescriptorOnItsWayIsWaitedFor() throws {
        let live = try LiveGuest("queued")
        let program = """
            import os, socket, sys
            ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            file = os.open(sys.argv[1], os.O_RDWR)
            socket.send_fds(ends[0], [b"x"], [file])
            os.close(file)
            print(flush=True)
            sys.stdin.read()
            """
        let holder = Process()
        holder.executableURL = URL(filePath: "/usr/bin/python3")
        holder.arguments = ["-c", program, live.backend.modules[0].file.path]
        let (input, output) = (Pipe(), Pipe())
        holder.standardInput = input
        holder.standardOutput = output
        try holder.run()
        #expect(output.fileHandleForReading.readData(ofLength: 1).count == 1)
        let (ticket, _) = try live.begin(live.module(), to: .private, heldBy: ["unknown"])
        #expect(try live.plugged() == [])
        #expect(ticket.result == nil)
        try input.fileHandleForWriting.close()
        holder.waitUntilExit()
        #expect(ticket.end == "completed, contents preserved")
        #expect(try live.plugged() == [0])
    }

    /// Lets no hole be made once that is said, nor a file be cut where that is said, too.
    private final class HolelessGate: CallGate {
        private let refused = Locked<[HostCall]>([])
        func refuse(_ calls: [HostCall]) { refused.withLock { $0 = calls } }
        func refusal(of call: Call) -> Int32? {
            refused.withLock { $0.contains { .host($0) == call } } ? EOPNOTSUPP : nil
        }
        func failure(after call: Call) -> Int32? { nil }
    }

    /// Whoever kept a name of a file finds nothing in it when the guest and its guard are gone, on a file system without holes, too;
    /// where it cannot be emptied that is told.
    @Test(arguments: [[], [HostCall.punchHole], [.punchHole, .truncate]])
    func anEndLeavesNothingToRead(refused: [HostCall]) throws {
        let gate = HolelessGate()
        let live = try LiveGuest("erased-\(refused.count)", modules: [1, 1], initial: .shared, gate: gate)
        let secret = [UInt8]("SECRET".utf8)
        let names = (0..<2).map { TestRoot.root.memory + "/kept-\(refused.count)-\($0)-\(getpid())" }
        for (number, name) in names.enumerated() {
            #expect(unsafe link(live.backend.modules[number].file.path, name) == 0)
            #expect(try live.perform(.write(secret, to: live.module(number).address)) == .written)
        }
        defer { for name in names { unsafe unlink(name) } }
        try live.convert(live.module(1), to: .private)
        gate.refuse(refused)
        live.backend.shutDown()
        let isEmptied = refused.count < 2
        for name in isEmptied ? names[...] : names[1...] {
            // The guard of private pages is there as long as the back end.
            let bytes = try? Data(contentsOf: URL(filePath: name))
            #expect(bytes?.count == (isEmptied ? refused.isEmpty ? 1 << 20 : 0 : nil))
            #expect(bytes?.allSatisfy { $0 == 0 } != false)
        }
        live.backend.executor.drain()
        #expect(live.log.isLost == !isEmptied)
    }

    /// That nobody has pages any more is looked at a few times: who had them may have handed them on behind a look's back.
    @Test func whoHadPagesIsLookedForAgain() throws {
        let live = try LiveGuest("confirmed", initial: .shared)
        let process = try ForkedProcess(keeping: live.backend.modules[0].file.descriptor.rawValue)
        let name = FileHolder.command(of: process.identity)
        let (ticket, _) = try live.begin(live.module(), to: .private, heldBy: [name])
        let before = live.backend.holderSearches.complete
        process.finish()
        #expect(ticket.end == "completed, contents preserved")
        #expect(live.backend.holderSearches.complete - before > UInt64(LibvirtBackend.confirmations))
    }

    /// Nor is one that is registered with an io_uring.
    @Test(.needsRings) func aFileOfARingIsWaitedFor() throws {
        let live = try LiveGuest("ring")
        let process = try HolderProcess(.ring, keeping: live.backend.modules[0].file.descriptor.rawValue)
        let (ticket, _) = try live.begin(live.module(), to: .private, heldBy: ["unknown"])
        #expect(try live.plugged() == [])
        #expect(ticket.result == nil)
        process.finish()
        #expect(ticket.end == "completed, contents preserved")
        #expect(try live.plugged() == [0])
    }

    /// While QEMU has the file, too: what an overlay shows is the file.
    @Test(
        .needsOverlays,
        arguments: [HolderProcess.Kind.overlayMapped, .overlayOpen]
    )
    func whatAnOverlayShowsIsWaitedFor(kind: HolderProcess.Kind) throws {
        let live = try LiveGuest("overlay-\(kind)", initial: .shared)
        let process = try HolderProcess(kind, keeping: live.backend.modules[0].file.descriptor.rawValue)
        let (ticket, blockers) = try live.begin(live.module(), to: .private, heldBy: ["holder"])
        #expect(blockers.map(\.holder.process) == [process.identity])
        #expect(ticket.result == nil)
        process.finish()
        #expect(ticket.end == "completed, contents preserved")
    }

    /// A private page is memory as any other to the kernel: neither QEMU nor this process has it locked, so that it is swapped
    /// where there is swap.
    @Test func privatePagesAreNotLocked() throws {
        let live = try LiveGuest("swappable", initial: .shared)
        try live.convert(live.module(), to: .private)
        let file = live.backend.modules[0].file
        for process in [live.backend.emulator, getpid()] {
            var isOfFile = false
            var found = 0
            for line in ProcessMaps.text("/proc/\(process)/smaps").split(separator: "\n") {
                let fields = line.split(separator: " ")
                if let first = fields.first, !first.hasSuffix(":") {
                    isOfFile = ProcessMaps.mappings(in: Array(line.utf8)).contains { $0.identity == file.identity }
                } else if isOfFile, fields.first == "VmFlags:" {
                    found += 1
                    #expect(!fields.contains("lo"), "\(line)")
                }
            }
            #expect(found > 0)
        }
    }

    @Test func aWithdrawnHandOverLeavesEverythingOpen() throws {
        let live = try LiveGuest("withdrawn", initial: .shared)
        try live.backend.map(live.module(), as: "backup")
        let (ticket, _) = try live.begin(live.module(), to: .private, heldBy: ["backup"])
        let fault = #expect(throws: AccessError.self) {
            try live.controller.write([1].span, to: live.module().address, for: Holder(device: "test"))
        }
        #expect(fault != nil)
        #expect(ticket.cancel())
        #expect(live.ownership == [.shared])
        try live.controller.write([1].span, to: live.module().address, for: Holder(device: "test"))
        try live.backend.map(live.module(), as: "other")
        #expect(try live.backend.read(1, from: live.module().address, as: "other") == [1])
    }

    @Test(arguments: [
        (UInt64(1) << 30, UInt64(1) << 20), (UInt64(4) << 30, UInt64(4096)),
        ((UInt64(4) << 30) + 4096, UInt64(1) << 20), (UInt64(600) << 30, UInt64(1) << 20),
    ])
    func whatNoModuleCanBeIsRefused(address: UInt64, size: UInt64) throws {
        let region = try PageRange(address: GuestPhysicalAddress(address), byteCount: size)
        let guest = GuestConfiguration(layout: try GuestMemoryLayout(regions: [region]))
        let error = #expect(throws: BackendError.self) {
            _ = try LibvirtBackend(guest, options: LiveGuest.options("no"))
        }
        #expect(error?.code == .unsupported)
    }
}
#endif

#if Libvirt
import Custody
import Foundation
import Glibc
import Testing

@testable import LibvirtBackend

/// Who is looked at once only, and what ends that.
@Suite(.timeLimit(.minutes(60))) struct ClearedProcessesTests {
    /// Processes that are there until their owner is gone.
    private final class Idlers {
        private let process = Process()
        private let input = Pipe()

        init(_ count: Int) throws {
            let program = """
                i=0
                while [ $i -lt \(count) ]; do sleep 3600 & i=$((i+1)); done
                echo
                read line
                kill -9 $(jobs -p)
                """
            let output = Pipe()
            process.executableURL = URL(filePath: "/bin/bash")
            process.arguments = ["-c", program]
            process.standardInput = input
            process.standardOutput = output
            try process.run()
            #expect(output.fileHandleForReading.readData(ofLength: 1).count == 1)
        }

        deinit {
            try? input.fileHandleForWriting.close()
            process.waitUntilExit()
        }
    }

    /// A process that goes on when it is told to, and says when it has.
    private final class Puppet {
        private let process = Process()
        private let (input, output) = (Pipe(), Pipe())

        init(_ program: String, _ arguments: String...) throws {
            process.executableURL = URL(filePath: "/usr/bin/python3")
            process.arguments = ["-c", program] + arguments
            process.standardInput = input
            process.standardOutput = output
            try process.run()
            #expect(output.fileHandleForReading.readData(ofLength: 1).count == 1)
        }

        func goOn() throws {
            try input.fileHandleForWriting.write(contentsOf: Data([10]))
            #expect(output.fileHandleForReading.readData(ofLength: 1).count == 1)
        }

        func end() throws {
            try input.fileHandleForWriting.close()
            process.waitUntilExit()
        }

        deinit { try? end() }
    }

    /// Sends itself a descriptor of a file, has no other one, and takes it when it is told to.
    private static let sending = """
        import os, socket, sys
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        file = os.open(sys.argv[1], os.O_RDWR)
        socket.send_fds(ends[0], [b"x"], [file])
        os.close(file)
        print(flush=True)
        sys.stdin.read(1)
        message = socket.recv_fds(ends[1], 1, 1)
        print(flush=True)
        sys.stdin.read()
        """

    /// Opens a file when it is told to, and has it, or its child has by then.
    private static let opening = """
        import os, socket, sys
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        if sys.argv[2] == "hand on" and os.fork() == 0:
            ends[0].close()
            message = socket.recv_fds(ends[1], 1, 1)
            ends[1].send(b"x")
            sys.stdin.read()
            os._exit(0)
        print(flush=True)
        sys.stdin.read(1)
        file = os.open(sys.argv[1], os.O_RDWR)
        if sys.argv[2] == "hand on":
            socket.send_fds(ends[0], [b"x"], [file])
            ends[0].recv(1)
            os.close(file)
        print(flush=True)
        sys.stdin.read()
        """

    private func page(_ number: UInt64, of live: LiveGuest) throws -> PageRange {
        try PageRange(PageNumber(live.module().start.rawValue + number))
    }

    /// A conversion of one page reads nothing of processes that were there at the one before, however many they are, where the
    /// kernel tells who opens the file. Where it does not, QEMU may have been somebody else.
    @Test(arguments: [0, 1000])
    func aConversionReadsWhoHasComeSince(others: Int) throws {
        let idlers = try Idlers(others)
        let gate = FailingGate()
        let live = try LiveGuest("cost-\(others)", initial: .shared, gate: gate)
        func cost(of number: UInt64) throws -> (processes: Int, reads: Int) {
            gate.fail(0)
            let before = live.backend.holderSearches.processes
            try live.convert(try page(number, of: live), to: .private)
            let looks: [Call] = [.host(.maps), .host(.tasks), .host(.descriptors), .host(.status)]
            let reads = gate.calls.count { looks.contains($0) }
            return (Int(live.backend.holderSearches.processes - before), reads)
        }
        let first = try cost(of: 0)
        #expect(first.processes > others && first.reads > 3 * others)
        #expect(live.backend.holderSearches.complete > 0)
        guard live.backend.sentry.means == .permission else {
            let second = try cost(of: 1)
            #expect(second.processes > others)
            return
        }
        // Processes of other tests come meanwhile; now and then there are none.
        var number: UInt64 = 0
        var least = first
        let isCheap = LiveGuest.waits {
            number += 1
            let next = try cost(of: number)
            if next.processes < least.processes { least = next }
            return least.processes < 40 && least.reads < 600
        }
        #expect(isCheap, "\(least)")
        print("holder searches, \(others) idle processes: first \(first), later \(least)")
        _ = consume idlers
    }

    /// One that is forked off later has this process's descriptor, and is as much in the way as ever.
    @Test func whoIsForkedOffLaterIsFound() throws {
        let live = try LiveGuest("later-fork", initial: .shared)
        try live.convert(try page(0, of: live), to: .private)
        let process = try ForkedProcess(keeping: live.backend.modules[0].file.descriptor.rawValue)
        let name = FileHolder.command(of: process.identity)
        let (ticket, blockers) = try live.begin(try page(1, of: live), to: .private, heldBy: [name])
        #expect(blockers.map(\.holder.process) == [process.identity])
        process.finish()
        #expect(ticket.end == "completed, contents preserved")
    }

    /// One that had not the file at the look before opens it, while that is allowed; or is handed it by one that does.
    @Test(arguments: [false, true])
    func whoOpensItMeanwhileIsFound(handingOn: Bool) throws {
        let live = try LiveGuest("later-open-\(handingOn)", initial: .shared)
        let opener = try Puppet(Self.opening, live.backend.modules[0].file.path, handingOn ? "hand on" : "keep")
        try live.convert(try page(0, of: live), to: .private)
        try live.convert(try page(0, of: live), to: .shared)
        try opener.goOn()
        let (ticket, _) = try live.begin(try page(1, of: live), to: .private, heldBy: ["python3"])
        #expect(ticket.result == nil)
        try opener.end()
        #expect(ticket.end == "completed, contents preserved")
    }

    /// While QEMU has the file nothing tells of a descriptor on its way. The next look after it has come finds it, although the
    /// process was there before and had nothing.
    @Test func aDescriptorOnItsWayIsFoundWhenItHasCome() throws {
        let live = try LiveGuest("comes-late", initial: .shared)
        let sender = try Puppet(Self.sending, live.backend.modules[0].file.path)
        try live.convert(try page(0, of: live), to: .private)
        try sender.goOn()
        let (ticket, _) = try live.begin(try page(1, of: live), to: .private, heldBy: ["python3"])
        #expect(ticket.result == nil)
        try sender.end()
        #expect(ticket.end == "completed, contents preserved")
    }

    @Test func whatIsNotWatchedIsNotKnown() {
        let cleared = ClearedProcesses()
        #expect(cleared.clear(upTo: 3, since: cleared.standing))
        #expect(cleared.standing.list == 0)
        cleared.beginWatching()
        #expect(cleared.clear(upTo: 3, since: cleared.standing))
        #expect(cleared.standing.list == 0, "another process may have it")
        cleared.noteThatNobodyHasIt(since: cleared.standing)
        #expect(cleared.clear(upTo: 3, since: cleared.standing))
        #expect(cleared.standing.list == 3)
        let standing = cleared.standing
        cleared.noteOpening()
        #expect(cleared.standing.list == 0)
        // What was looked at before the file was opened says nothing.
        #expect(!cleared.clear(upTo: 4, since: standing))
        #expect(cleared.standing.list == 0)
        cleared.noteThatNobodyHasIt(since: standing)
        #expect(cleared.clear(upTo: 4, since: cleared.standing))
        #expect(cleared.standing.list == 0)
        cleared.noteThatNobodyHasIt(since: cleared.standing)
        #expect(cleared.clear(upTo: 4, since: cleared.standing))
        #expect(cleared.standing.list == 4)
        cleared.forget()
        #expect(cleared.standing.list == 0)
        #expect(cleared.clear(upTo: 5, since: cleared.standing))
        cleared.endWatching()
        #expect(cleared.standing.list == 0)
    }

    @Test func aProcessIsAsOldAsTheFirstListThatHasIt() throws {
        let register = ProcessRegister()
        let first = try register.list(OpenGate())
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sleep")
        process.arguments = ["3600"]
        try process.run()
        let second = try register.list(OpenGate())
        func since(_ list: ProcessRegister.List, _ number: Int32) -> UInt64? {
            list.entries.first { $0.process == number }?.since
        }
        #expect(since(first, getpid()) == 1 && since(second, getpid()) == 1)
        #expect(since(first, process.processIdentifier) == nil)
        #expect(since(second, process.processIdentifier) == 2)
        // It has the signal mask of the thread that started it, which may block everything that can be blocked.
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        let third = try register.list(OpenGate())
        #expect(since(third, process.processIdentifier) == nil)
        #expect(third.number == 3)
    }
}
#endif

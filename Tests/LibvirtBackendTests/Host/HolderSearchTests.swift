#if Libvirt
import CHolders
import Custody
import Foundation
import Glibc
import Testing

@testable import LibvirtBackend

/// Who is found to have a file, and who is taken to have it.
@Suite(.timeLimit(.minutes(60))) struct HolderSearchTests {
    private let path: String
    private let others: Set<UnseenProcesses>

    init() throws {
        try TestRoot.root.prepare()
        path = TestRoot.root.path + "/held-\(UUID())"
        others = try UnseenProcesses.here(OpenGate())
    }

    private func makeFile(_ gate: any CallGate = OpenGate()) throws -> ModuleFile {
        try ModuleFile(path: path, size: 1 << 20, gate: gate)
    }

    /// The holders but those that tests beside this one fork off, which have this process's descriptors for a moment.
    private func holders(_ file: ModuleFile, where isMeant: (FileHolder) -> Bool) throws -> [FileHolder] {
        try file.holders(accepting: others).filter(isMeant)
    }

    @Test(arguments: [(HolderProcess.Kind.endedLeader, FileHolder.Hold.mapped), (.ownTable, .open)])
    func everyTaskIsLookedAt(kind: HolderProcess.Kind, hold: FileHolder.Hold) throws {
        let file = try makeFile()
        defer { file.remove() }
        let process = try HolderProcess(kind, keeping: file.descriptor.rawValue)
        let found = try holders(file) { $0.process == process.identity }
        #expect(found.map(\.hold) == [hold])
        process.finish()
        #expect(try holders(file) { $0.process == process.identity } == [])
    }

    /// The overlay's device is another one, and it is mounted nowhere any more.
    @Test(
        .needsOverlays,
        arguments: [
            (HolderProcess.Kind.overlayMapped, FileHolder.Hold.mapped), (.overlayOpen, .open), (.overlayXino, .mapped),
        ]
    )
    func whatAnOverlayShowsIsFound(kind: HolderProcess.Kind, hold: FileHolder.Hold) throws {
        let file = try makeFile()
        defer { file.remove() }
        let process = try HolderProcess(kind, keeping: file.descriptor.rawValue)
        func found() throws -> [FileHolder] {
            try file.holders(accepting: geteuid() == 0 ? others : []).filter { $0.process == process.identity }
        }
        // Who may not follow it says why, and takes it for a holder.
        #expect(try found().map { geteuid() != 0 && $0.obstacle != nil ? hold : $0.hold } == [hold])
        process.finish()
        #expect(try found() == [])
    }

    /// An inode number has many files, and an overlay says of which one it is: to root, and to others it may be this one.
    @Test(.needsOverlays)
    func anotherFileOfAnOverlayIsNone() throws {
        let path = "/dev/shm/custody-test-other-\(getpid())"
        let file = try ModuleFile(path: path, size: 1 << 20, gate: OpenGate())
        defer { file.remove() }
        let process = try HolderProcess(.overlayOther, keeping: file.descriptor.rawValue)
        let list = try ProcessMaps.read("/proc/\(process.identity)/maps", .maps, OpenGate())
        #expect(ProcessMaps.mappings(in: list, withNumberOf: file.identity).count == 1)
        let found = try holders(file) { $0.process == process.identity }
        #expect(found.map { $0.obstacle != nil } == (geteuid() == 0 ? [] : [true]), "\(found)")
    }

    /// Where the kernel does not say whose file it is, it may be this one.
    @Test(
        .needsOverlays,
        arguments: [HolderProcess.Kind.overlayMapped, .overlayOpen]
    )
    func whatAnOverlayMayShowIsAHolder(kind: HolderProcess.Kind) throws {
        let gate = FailingGate()
        let file = try makeFile(gate)
        defer { file.remove() }
        let process = try HolderProcess(kind, keeping: file.descriptor.rawValue)
        for code in [EIO, EPERM] {
            gate.fail(1, of: .host(.overlay), code: code)
            let found = try file.holders(accepting: others).filter { $0.process == process.identity }
            #expect(gate.failed == .host(.overlay))
            // To who may not follow the link the mounts tell, or that there is none any more.
            #expect(found.count == 1 && found.allSatisfy { $0.obstacle != nil }, "\(found)")
        }
    }

    /// No process shows what is registered with an io_uring alone; the lease tells that there is somebody.
    @Test(.needsRings)
    func aFileOfARingIsToldByTheLeaseAlone() throws {
        let file = try makeFile()
        defer { file.remove() }
        let process = try HolderProcess(.ring, keeping: file.descriptor.rawValue)
        #expect(try !file.isOurs())
        #expect(try holders(file) { $0.process == process.identity } == [])
        process.finish()
        #expect(LiveGuest.waits { try file.isOurs() })
    }

    /// Refuses every look at a process's tasks, as where this one may trace nobody.
    private struct BlindGate: CallGate {
        func refusal(of call: Call) -> Int32? { call == .host(.tasks) ? EACCES : nil }
        func failure(after call: Call) -> Int32? { nil }
    }

    /// Refuses every look at a process's tasks, and ends a process at the first one: all have been listed by then.
    private final class LateGate: CallGate {
        let process: HolderProcess
        init(_ process: HolderProcess) { self.process = process }
        func refusal(of call: Call) -> Int32? {
            guard call == .host(.tasks) else { return nil }
            process.finish()
            return EACCES
        }
        func failure(after call: Call) -> Int32? { nil }
    }

    /// One that ends while it is looked at has nothing, however it was looked at.
    @Test func whoEndsMeanwhileIsNoHolder() throws {
        let file = try makeFile()
        defer { file.remove() }
        let process = try HolderProcess(.protected, keeping: file.descriptor.rawValue)
        let again = try ModuleFile(path: path + "-again", size: 1 << 20, gate: LateGate(process))
        defer { again.remove() }
        let found = try again.holders(accepting: [])
        #expect(found.contains { $0.process == 1 })
        #expect(!found.contains { $0.process == process.identity })
    }

    /// Lets a process come with every list of them, in place of the one before.
    private final class CrowdGate: CallGate {
        private let last = Locked<HolderProcess?>(nil)
        func refusal(of call: Call) -> Int32? {
            guard call == .host(.scan) else { return nil }
            let next = try? HolderProcess(.zombie, keeping: 0)
            last.withLock {
                $0?.finish()
                $0 = next
            }
            return next == nil ? EAGAIN : nil
        }
        func failure(after call: Call) -> Int32? { nil }
    }

    /// As many look like one that is waited for: a machine on which much is started is no error.
    @Test func whoComesFasterThanIsLookedIsAHolder() throws {
        let file = try makeFile(CrowdGate())
        defer { file.remove() }
        let found = try file.holders(accepting: others).filter { $0.process == nil }
        #expect(found.map(\.obstacle) == ["processes come faster than they can be looked at"])
    }

    /// Nor is one at which a file is opened again and again.
    @Test func whoOpensItAtEachLookIsAHolder() throws {
        let file = try makeFile()
        defer { file.remove() }
        let all = Set(UnseenProcesses.allCases)
        var isHeard = false
        let found = try file.strangers(beside: nil, accepting: all, among: ProcessRegister()) {
            isHeard.toggle()
            return isHeard
        }
        #expect(found.map(\.obstacle) == ["\(path) is opened as often as its holders are looked for"])
        #expect(try file.strangers(beside: nil, accepting: all, among: ProcessRegister()) { true } == [])
    }

    /// What hides a process, or part of it, in `/proc`: something that is mounted there.
    @Test(.needsMounts, arguments: ["", "/fd", "/task", "/task/PID/fd", "/maps", "/task/PID/maps"], [true, false])
    func whoIsHiddenIsAHolder(part: String, byAnother: Bool) throws {
        let file = try makeFile()
        defer { file.remove() }
        let process = try ForkedProcess(keeping: file.descriptor.rawValue)
        let place = "/proc/\(process.identity)" + part.replacing("PID", with: "\(process.identity)")
        let (folder, empty) = (
            "/proc/1" + part.replacing("PID", with: "1"), path + (part.hasSuffix("maps") ? ".none" : ".d")
        )
        if part.hasSuffix("maps") {
            close(unsafe open(empty, O_CREAT | O_CLOEXEC, 0o600))
        } else {
            unsafe mkdir(empty, 0o700)
        }
        defer { unsafe remove(empty) }
        // To one thread: to other tests nobody is hidden.
        let found = HostAbility.onAThread { () -> [FileHolder]? in
            guard unsafe cholders_hide(place, byAnother ? folder : empty) == 0 else { return nil }
            return try? file.holders(accepting: Set(UnseenProcesses.allCases))
        }
        // Its threads' own folders are looked into.
        let isSeen = part == "/fd" || part == "/maps"
        #expect(found??.filter { $0.process == process.identity }.map { $0.obstacle == nil } == [isSeen], "\(place)")
        process.finish()
    }

    /// The kernel's own threads have neither files nor memory: that they cannot be looked into says nothing.
    @Test func threadsOfTheKernelAreNoHolders() throws {
        let file = try makeFile(BlindGate())
        defer { file.remove() }
        let unseen = try file.holders(accepting: [])
        #expect(unseen.contains { $0.process == 1 })
        let kernels = ProcessMaps.processes.filter { process in
            ProcessMaps.text("/proc/\(process)/status").contains("\nKthread:\t1\n")
        }
        #expect(!unseen.contains { kernels.contains($0.process ?? 0) })
        #expect(unseen.allSatisfy { $0.command != "kthreadd" })
    }

    /// One that has the file is found at a glance, however many may have it.
    @Test func theManyThatMayHaveItHideNobody() throws {
        let range = try LiveGuest.module(0, mebibytes: 1)
        func unseen(_ count: Int) -> [FileHolder] {
            (1...count).map { FileHolder(process: Int32($0), command: "p\($0)", hold: .unseen("no")) }
        }
        let real = FileHolder(process: 1000, command: "real", hold: .mapped)
        let blockers = MemoryModule.blockers(unseen(93) + [real], range, .zero)
        #expect(blockers.map(\.holder.device) == ["real", "93 processes"])
        #expect(blockers.map(\.kind) == [.mapping, .pin])
        #expect(blockers[1].holder.purpose == "unseen: p1 (pid 1), p2 (pid 2), p3 (pid 3) and 90 more: no")
        // Few are named one by one.
        let few = MemoryModule.blockers(unseen(3) + [real], range, .zero)
        #expect(few.map(\.holder.device) == ["real", "p1", "p2", "p3"])
    }

    /// One that has ended has nothing, and nobody but root may look into it.
    @Test func aProcessThatHasEndedIsNoHolder() throws {
        let file = try makeFile()
        defer { file.remove() }
        let process = try HolderProcess(.zombie, keeping: file.descriptor.rawValue)
        #expect(try holders(file) { $0.process == process.identity } == [])
    }

    /// Root sees it; to others it is one that cannot be looked into, whose file it may be.
    @Test func aProcessThatMayNotBeTracedIsAHolder() throws {
        let file = try makeFile()
        defer { file.remove() }
        let process = try HolderProcess(.protected, keeping: file.descriptor.rawValue)
        let found = try holders(file) { $0.process == process.identity }
        #expect(found.count == 1)
        if geteuid() == 0 {
            #expect(found.first?.hold == .open)
        } else {
            guard case .unseen? = found.first?.hold else {
                Issue.record("\(found)")
                return
            }
            let accepting = try file.holders(accepting: others.union([.protected]))
            #expect(!accepting.contains { $0.process == process.identity })
        }
    }

    /// Each look into /proc fails once, for want of a descriptor: whoever was looked at then may have the file.
    @Test(arguments: [HostCall.tasks, .maps, .descriptors], [EMFILE, EIO, ENOMEM, EACCES])
    func whatCannotBeSeenIsAHolder(call: HostCall, code: Int32) throws {
        let gate = FailingGate()
        let file = try makeFile(gate)
        defer { file.remove() }
        gate.fail(1, of: .host(call), code: code)
        let unseen = try file.holders(accepting: code == EACCES ? [] : others).filter { holder in
            if case .unseen = holder.hold { true } else { false }
        }
        #expect(gate.failed == .host(call))
        #expect(unseen.contains { "\($0.hold)".contains("(errno \(code))") }, "\(unseen)")
    }

    /// What may not be looked into by its user is left out where that kind is accepted, and only then.
    @Test func acceptedProcessesAreLeftOut() throws {
        let gate = FailingGate()
        let file = try makeFile(gate)
        defer { file.remove() }
        gate.fail(1, of: .host(.tasks), code: EACCES)
        let accepted = others.union([.otherUsers, .protected])
        let unseen = try file.holders(accepting: accepted).filter { holder in
            if case .unseen = holder.hold { true } else { false }
        }
        #expect(gate.failed == .host(.tasks))
        #expect(unseen == [])
    }

    @Test func whoCannotBeListedIsNotNobody() throws {
        for call: HostCall in [.scan, .devices] {
            let gate = FailingGate()
            let file = try makeFile(gate)
            defer { file.remove() }
            gate.fail(1, of: .host(call), code: EMFILE)
            let error = #expect(throws: HostError.self) { try file.holders(accepting: others) }
            #expect(error?.errno == EMFILE)
        }
    }

    /// The kernel has the file open for a loop device, and no process has.
    @Test(.needsLoopDevices)
    func aLoopDeviceIsAHolder() throws {
        func losetup(_ arguments: String...) throws -> String {
            let process = Process()
            process.executableURL = URL(filePath: "/usr/sbin/losetup")
            process.arguments = arguments
            let output = Pipe()
            process.standardOutput = output
            try process.run()
            let bytes = output.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            #expect(process.terminationStatus == 0)
            return String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        }
        let file = try makeFile()
        defer { file.remove() }
        let device = try losetup("--find", "--show", path)
        let name = try #require(device.split(separator: "/").last.map(String.init))
        #expect(try holders(file) { $0.process == nil } == [FileHolder(process: nil, command: name, hold: .open)])
        _ = try losetup("--detach", device)
        #expect(try holders(file) { $0.process == nil } == [])
    }

    /// What the kernel shows nobody: a page in a pipe is read from there as it is by then, and by nobody's mapping or descriptor.
    @Test func aPageInAPipeIsNotFound() throws {
        let file = try makeFile()
        defer { file.remove() }
        var ends: [Int32] = [-1, -1]
        #expect(unsafe cholders_pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        var byte: UInt8 = 1
        #expect(unsafe try file.copy(&byte, offset: 0, count: 1, into: true) == 1)
        #expect(cholders_splice(file.descriptor.rawValue, ends[1]) == 4096)
        byte = 2
        #expect(unsafe try file.copy(&byte, offset: 0, count: 1, into: true) == 1)
        #expect(try holders(file) { $0.process == nil } == [])
        #expect(unsafe read(ends[0], &byte, 1) == 1)
        #expect(byte == 2)
    }
}
#endif

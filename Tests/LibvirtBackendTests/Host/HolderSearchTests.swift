#if Libvirt
import CHolders
import Foundation
import Glibc
import Testing

@testable import LibvirtBackend

/// Who is found to have a file, and who is taken to have it.
@Suite(.timeLimit(.minutes(60))) struct HolderSearchTests {
    private let path: String
    private let others: Set<UnseenProcesses>

    private static var hasLoopDevices: Bool {
        geteuid() == 0 && FileManager.default.fileExists(atPath: "/dev/loop-control")
    }

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
    @Test(.enabled(if: HolderSearchTests.hasLoopDevices, "loop devices are root's"))
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

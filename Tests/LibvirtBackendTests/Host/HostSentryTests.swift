#if Libvirt
import Foundation
import Glibc
import Synchronization
import Testing

@testable import LibvirtBackend

/// Who is kept out of a file, and what the kernel tells of it.
@Suite(.timeLimit(.minutes(60))) struct HostSentryTests {
    private let path: String

    /// In a folder of this user's: a file is given to whom its folder belongs.
    init() throws {
        try TestRoot.root.prepare()
        path = TestRoot.root.path + "/file-\(UUID())"
    }

    /// Whether a process that is not this one can open the file; as root permissions say nothing.
    private func opens() throws -> Bool {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = ["-c", "exec 3<>'\(path)'"]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus == 0
    }

    @Test func aFileIsClosedToOthersAndOpenedAgain() throws {
        let sentry = try HostSentry(gate: OpenGate())
        let file = try ModuleFile(path: path, size: 1 << 20, gate: OpenGate())
        defer { file.remove() }
        #expect(sentry.means == (geteuid() == 0 ? .permission : .mode))
        #expect(try opens())
        try sentry.deny(file)
        #expect(try !opens())
        try sentry.admit(file)
        #expect(try opens())
        try sentry.deny(file)
        // Nobody is kept out by who has gone, nor made to wait for an answer.
        sentry.close()
        if sentry.means == .permission { #expect(try opens()) }
    }

    /// The last close is an event, and nobody has to look for it.
    @Test func theKernelTellsOfTheLastClose() throws {
        let sentry = try HostSentry(gate: OpenGate())
        let file = try ModuleFile(path: path, size: 1 << 20, gate: OpenGate())
        defer { file.remove() }
        let closed = DispatchSemaphore(value: 0)
        try sentry.watch(file, whenLetGo: { closed.signal() })
        #expect(try opens())
        #expect(closed.wait(timeout: .now() + 120) == .success)
        // The last unmapping is one, too.
        let other = unsafe open(path, O_RDWR | O_CLOEXEC)
        let map = unsafe mmap(nil, 4096, PROT_READ, MAP_SHARED, other, 0)
        close(other)
        #expect(closed.wait(timeout: .now() + 0.2) == .timedOut)
        unsafe munmap(map, 4096)
        #expect(closed.wait(timeout: .now() + 120) == .success)
    }

    /// Only a user, or a kernel, that has no such thing makes do with less.
    @Test(arguments: [(EPERM, true), (ENOSYS, true), (EINVAL, true), (EMFILE, false), (ENOMEM, false)])
    func whatIsShortIsNotMadeDoWithout(code: Int32, isLess: Bool) throws {
        let gate = FailingGate()
        gate.fail(3, code: code)
        let means = try? HostSentry(gate: gate).means
        #expect(gate.failed == .host(.sentry))
        #expect(means == (isLess ? .mode : nil))
    }
}
#endif

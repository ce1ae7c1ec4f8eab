import CKVM
import Custody
import CustodyTestSupport
import Glibc
import Synchronization
import SystemPackage
import Testing

@testable import KVMBackend

/// What of a guest leaves its process: to a program that it starts, to a child that it forks, into a core dump.
///
/// Each in a process of its own: other tests have descriptors and mappings, too.
@Suite(.timeLimit(.minutes(60))) struct InheritanceTests {
    /// With guests of every mode alive and at work, nothing is open that a program would inherit.
    @Test func everyDescriptorIsClosedOnExec() async {
        await #expect(processExitsWith: .success) {
            let before = OpenDescriptors.inheritable()
            var backends: [KVMBackend] = []
            for tested in ModeUnderTest.all + ModeUnderTest.logs {
                let backend = try tested.backend(pages: 64, processors: 2)
                try backend.change(Guests.range(3, 5), from: .shared, to: .private)
                guard try backend.guestWrite([1], to: Guests.address(4), on: 1) == .written else { exit(10) }
                try backend.addReadOnlyMemory([1], at: Guests.address(600))
                backends.append(backend)
            }
            let after = OpenDescriptors.inheritable().filter { before[$0.key] != $0.value }
            print("inherited: \(after.values.sorted())")
            guard !backends.isEmpty, after.isEmpty else { exit(11) }
            exit(EXIT_SUCCESS)
        }
    }

    /// No mapping that both a guest and this process reach goes to a child or into a core dump, whatever the mode and
    /// whoever owns its pages.
    @Test func everyMappingIsKeptFromChildrenAndCores() async {
        await #expect(processExitsWith: .success) {
            let before = try Mapping.all().filter(\.isOfGuests)
            guard before.isEmpty else { exit(10) }
            var backends: [KVMBackend] = []
            for tested in ModeUnderTest.real {
                let backend = try tested.backend(pages: 64, processors: 2)
                try backend.change(Guests.range(3, 5), from: .shared, to: .private)
                guard try backend.guestWrite([1], to: Guests.address(4), on: 1) == .written else { exit(11) }
                try backend.change(Guests.range(4, 1), from: .private, to: .shared)
                backends.append(backend)
            }
            let found = try Mapping.all().filter(\.isOfGuests)
            let open = found.filter { !$0.flags.isSuperset(of: ["dd", "dc"]) }
            for mapping in open { print("open: \(mapping)") }
            guard found.count >= backends.count, open.isEmpty else { exit(12) }
            exit(EXIT_SUCCESS)
        }
    }

    /// A child that was forked before a page became private cannot read it, and cannot reach the guest by anything else.
    @Test(.needsKVM, arguments: [KVMMode.dual.rawValue, KVMMode.revoked.rawValue])
    func aChildOfBeforeReadsNothing(mode: String) async {
        await #expect(processExitsWith: .success) { [mode] in
            let backend = try Guests.backend(KVMMode(rawValue: mode) ?? .dual)
            let secret = try backend.secret(on: 4)
            var ends: [Int32] = [0, 0]
            guard unsafe pipe(&ends) == 0 else { exit(10) }
            let windows = [
                backend.windows.shared, backend.windows.private, backend.machine.ram.sharedMemory.address,
                backend.machine.ram.privateMemory.address,
            ]
            let offset = UInt(Guests.address(4).rawValue - backend.base)
            let child = Forking.fork()
            if child == 0 {
                // Until the page is private.
                var byte: UInt8 = 0
                _ = unsafe read(ends[0], &byte, 1)
                for window in windows {
                    var word: UInt64 = 0
                    var fault: UInt = 0
                    guard let page = unsafe UnsafeRawPointer(bitPattern: window + offset) else { continue }
                    if unsafe ckvm_guarded_copy(&word, page, 8, &fault) == 0 { _exit(word == secret ? 20 : 21) }
                }
                _exit(0)
            }
            guard child > 0 else { exit(11) }
            try backend.change(Guests.range(4, 1), from: .shared, to: .private)
            guard try backend.guestWrite(Forking.bytes(secret), to: Guests.address(4)) == .written else { exit(12) }
            var byte: UInt8 = 1
            _ = unsafe write(ends[1], &byte, 1)
            var status: Int32 = 0
            guard unsafe waitpid(child, &status, 0) == child, status == 0 else { exit(13 + (status >> 8 & 0xFF)) }
            // This process, and the guest, have what they had.
            guard try backend.guestRead(8, from: Guests.address(4)) == .bytes(Forking.bytes(secret)) else { exit(14) }
            exit(EXIT_SUCCESS)
        }
    }

    /// What a debugger may read of a private page: nothing where the kernel enforces, all of it where this process does.
    @Test(.needsKVM, arguments: [KVMMode.dual, .revoked]) func aDebuggerIsStoppedByTheKernelAlone(mode: KVMMode) throws
    {
        let backend = try Guests.backend(mode)
        try backend.change(Guests.range(4, 1), from: .shared, to: .private)
        let secret = Forking.bytes(try backend.secret(on: 4))
        let memory = unsafe open("/proc/self/mem", O_RDONLY | O_CLOEXEC)
        try #require(memory >= 0)
        defer { close(memory) }
        let offset = UInt(Guests.address(4).rawValue - backend.base)
        let windows = [
            backend.windows.shared, backend.windows.private, backend.machine.ram.sharedMemory.address,
            backend.machine.ram.privateMemory.address,
        ]
        var read: (byFile: [[UInt8]], byCall: [[UInt8]]) = ([], [])
        for window in Set(windows) {
            var bytes = [UInt8](repeating: 0, count: secret.count)
            if unsafe pread(memory, &bytes, bytes.count, Int(window + offset)) == bytes.count {
                read.byFile.append(bytes)
            }
            let count = unsafe bytes.withUnsafeMutableBytes { buffer in
                var local = unsafe iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
                var remote = unsafe iovec(
                    iov_base: UnsafeMutableRawPointer(bitPattern: window + offset),
                    iov_len: buffer.count
                )
                return unsafe Forking.copy(getpid(), &local, 1, &remote, 1, 0)
            }
            if count == bytes.count { read.byCall.append(bytes) }
        }
        #expect(read.byFile.contains(secret) == (mode == .revoked))
        #expect(read.byCall.contains(secret) == (mode == .revoked))
    }

    /// There is no moment at which a program that is started would inherit a guest's file: not right after the call that
    /// makes it, and not in the middle of it.
    @Test(.needsKVM) func aFileIsClosedOnExecFromTheFirst() async {
        await #expect(processExitsWith: .success) {
            let kernel = ObservedKernel(after: { call, result in
                guard case .ioctl(_, .createGuestMemfd, _) = call else { return }
                guard fcntl(Int32(result), F_GETFD) & FD_CLOEXEC != 0 else { exit(10) }
            })
            let guest = try Guests.backend(.dual, kernel: kernel)
            let machine = guest.machine.virtualMachine.descriptor.rawValue
            let limit = Int32(64)
            let isMeant = (0..<limit).map { fcntl($0, F_GETFD) == 0 }
            let isOver = Atomic(false)
            let made = Monitor(0)
            try withExtendedLifetime(guest) {
                try Thread.start {
                    while !isOver.load(ordering: .relaxed) {
                        do { _ = try BareMachine.makeFile(on: machine, of: kernel, size: 4096, flags: 0) } catch {
                            exit(11)
                        }
                        made.update { $0 += 1 }
                    }
                }
                for _ in 0..<300 {
                    let before = made.update { $0 }
                    let child = Forking.fork()
                    if child == 0 {
                        for number in 0..<limit where fcntl(number, F_GETFD) == 0 && !isMeant[Int(number)] { _exit(1) }
                        _exit(0)
                    }
                    var status: Int32 = 0
                    guard child > 0, unsafe waitpid(child, &status, 0) == child else { exit(12) }
                    guard status == 0 else { exit(13) }
                    // Files were being made all the time.
                    guard made.wait(for: .seconds(60), { $0 > before ? $0 : nil }) != nil else { exit(14) }
                }
                isOver.store(true, ordering: .relaxed)
            }
            exit(EXIT_SUCCESS)
        }
    }

    /// A child that is forked while a mapping is being made does not have it.
    @Test func aForkWaitsForAMappingThatIsBeingMade() async {
        await #expect(processExitsWith: .success) {
            let place = Monitor<UInt?>(nil)
            let child = Monitor<pid_t?>(nil)
            let kernel = ObservedKernel(before: { call in
                guard case .advise(let address, _, .dontFork) = call else { return }
                place.update { $0 = address }
                // In the midst of it somebody forks. He waits; where he does not, the child is there before this goes on.
                _ = child.wait(for: .milliseconds(500)) { $0 }
            })
            try Thread.start {
                guard let address = place.wait(for: .seconds(60), { $0 }) else { exit(10) }
                let process = Forking.fork()
                if process == 0 {
                    var isResident: UInt8 = 0
                    // ENOMEM: nothing is mapped there.
                    guard unsafe mincore(UnsafeMutableRawPointer(bitPattern: address), 4096, &isResident) != 0 else {
                        _exit(1)
                    }
                    _exit(0)
                }
                child.update { $0 = process }
            }
            let memory = try MappedMemory(nil, length: 1 << 16, kernel: kernel)
            guard let process = child.wait(for: .seconds(60), { $0 }), process > 0 else { exit(11) }
            var status: Int32 = 0
            guard unsafe waitpid(process, &status, 0) == process, memory.length > 0 else { exit(12) }
            exit(status == 0 ? EXIT_SUCCESS : 13)
        }
    }
}

/// The running kernel, with somebody who looks on.
private struct ObservedKernel: Kernel {
    var before: @Sendable (SystemCall) -> Void = { _ in }
    var after: @Sendable (SystemCall, Int) -> Void = { _, _ in }

    func perform(_ call: SystemCall) throws(Errno) -> Int {
        before(call)
        let result = try LinuxKernel().perform(call)
        after(call, result)
        return result
    }
}

extension KVMBackend {
    /// Has the guest fill a page with a pattern that nobody else has, and returns its word.
    fileprivate func secret(on page: UInt64) throws -> UInt64 {
        let pattern: UInt64 = 0x5EC2_E7A1_1357_2468
        let fill = GuestCommand.fill(pattern: pattern, address: Guests.address(page).rawValue, count: 4096)
        guard case .done = try execute(fill, on: 0, answeringTo: Refusing()) else { throw Unexpected.outcome }
        return pattern
    }
}

/// One line of `/proc/self/smaps` with its flags.
private struct Mapping: CustomStringConvertible {
    let name: String
    let isShared: Bool
    let flags: Set<String>

    var description: String { "\(name) \(flags.sorted())" }

    /// Whether a guest, or KVM on its behalf, finds something in it.
    var isOfGuests: Bool {
        name.contains("memfd:custody-guest") || name.contains("anon_inode:")
            || (isShared && name.contains("/dev/zero"))
    }

    static func all() throws -> [Mapping] {
        var found: [Mapping] = []
        var head = (name: "", isShared: false)
        for line in try Forking.lines("/proc/self/smaps") {
            let words = line.split(separator: " ")
            if words.count >= 5, words[1].count == 4, words[0].contains("-") {
                head = (words.dropFirst(5).joined(separator: " "), words[1].hasSuffix("s"))
            } else if words.first == "VmFlags:" {
                found.append(
                    Mapping(name: head.name, isShared: head.isShared, flags: Set(words.dropFirst().map(String.init)))
                )
            }
        }
        return found
    }
}

private enum Forking {
    /// `fork(2)`, which Swift does not offer: what a child may do is little, and these children do little.
    static func fork() -> pid_t {
        guard let symbol = unsafe dlsym(nil, "fork") else { return -1 }
        return unsafe unsafeBitCast(symbol, to: (@convention(c) () -> pid_t).self)()
    }

    /// `process_vm_readv(2)`, which Swift does not offer either.
    static let copy = unsafe unsafeBitCast(
        dlsym(nil, "process_vm_readv"),
        to: (@convention(c) (pid_t, UnsafePointer<iovec>, UInt, UnsafePointer<iovec>, UInt, UInt) -> Int).self
    )

    static func bytes(_ word: UInt64) -> [UInt8] { (UInt64(0)..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }

    static func lines(_ path: String) throws -> [Substring] {
        String(decoding: try contents(path), as: UTF8.self).split(separator: "\n")
    }

    static func contents(_ path: String) throws -> [UInt8] {
        guard let file = unsafe fopen(path, "re") else { throw Errno(rawValue: errno) }
        defer { unsafe fclose(file) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = unsafe fread(&part, 1, part.count, file)
            guard count > 0 else { return bytes }
            bytes += part.prefix(count)
        }
    }
}

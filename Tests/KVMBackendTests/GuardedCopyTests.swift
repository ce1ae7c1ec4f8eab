import CKVM
import Custody
import Glibc
import Testing

@testable import KVMBackend

/// The copy that survives faults. What concerns other code's handlers runs in processes of its own.
@Suite(.timeLimit(.minutes(60))) struct GuardedCopyTests {
    @Test func everySizeIsCopiedExactly() throws {
        #expect(ckvm_guarded_install() == 0)
        let source = (0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
        for count in Array(0...300) + [1023, 1024, 2047, 2048, 2049, 4096] {
            var target = [UInt8](repeating: 0xAA, count: count + 2)
            var fault: UInt = 0
            let result = unsafe target.withUnsafeMutableBytes { target -> Int32 in
                unsafe source.withUnsafeBytes { source in
                    guard let to = target.baseAddress, let from = source.baseAddress else { return -1 }
                    return unsafe ckvm_guarded_copy(to + 1, from + 3, count, &fault)
                }
            }
            #expect(result == 0)
            #expect(target.dropFirst().dropLast().elementsEqual(source[3..<(3 + count)]))
            #expect(target.first == 0xAA && target.last == 0xAA)
        }
    }

    /// Each size stops at the very first byte that may not be touched, from either side.
    @Test func everySizeStopsAtAClosedPage() throws {
        #expect(ckvm_guarded_install() == 0)
        let pages = try ClosedPage()
        for count in Array(1...300) + [2047, 2048, 4096] {
            var buffer = [UInt8](repeating: 0, count: count)
            for isRead in [true, false] {
                let fault = try pages.touch(&buffer, offset: 4097 - count, isRead: isRead)
                #expect(fault.signal == SIGSEGV)
                #expect(fault.offset >= 4096 && fault.offset < 4096 + 64)
            }
        }
    }

    @Test func severalThreadsFaultAtOnce() throws {
        #expect(ckvm_guarded_install() == 0)
        let pages = try ClosedPage()
        let results = Monitor<[Int]>([])
        for _ in 0..<4 {
            try Thread.start {
                var faults = 0
                var buffer = [UInt8](repeating: 0, count: 8)
                for round in 0..<2000 {
                    let fault = try? pages.touch(&buffer, offset: round % 2 == 0 ? 4096 : 0, isRead: true)
                    if fault?.signal == SIGSEGV { faults += 1 }
                }
                let total = faults
                results.update { $0.append(total) }
            }
        }
        let all = try #require(results.wait(for: .seconds(30)) { $0.count == 4 ? $0 : nil })
        #expect(all == [1000, 1000, 1000, 1000])
    }

    @Test(.needsKVM) func aPrivatePageIsTheKernelsSIGBUS() throws {
        let backend = try Guests.backend(.dual)
        try backend.change(Guests.range(1, 1), from: .shared, to: .private)
        for count in [1, 2, 3, 8, 16, 64, 200, 4096] {
            let error = #expect(throws: BackendError.self) { try backend.hostRead(count, from: Guests.address(1)) }
            #expect(error?.fault?.evidence == "SIGBUS")
            #expect(throws: BackendError.self) {
                try backend.hostWrite([UInt8](repeating: 1, count: count), to: Guests.address(1))
            }
        }
        // A page that merely has no contents yet is no fault.
        #expect(try backend.hostRead(64, from: Guests.address(400)) == [UInt8](repeating: 0, count: 64))
    }

    /// Handlers from before and after ours, of both kinds, each get the faults of their own memory.
    @Test func foreignHandlersKeepTheirFaults() async {
        await #expect(processExitsWith: .success) {
            try Foreign.run(beforeOurs: true)
            try Foreign.run(beforeOurs: false)
            exit(EXIT_SUCCESS)
        }
    }

    /// A fault that is nobody's goes from ours to a foreign handler, from there to ours as it was before, and to the
    /// first handler of all: a chain, not a loop.
    @Test func chainsEnd() async {
        await #expect(processExitsWith: .exitCode(33)) {
            _ = signal(SIGSEGV) { _ in _exit(33) }
            guard ckvm_guarded_install() == 0 else { exit(10) }
            try Foreign.installChaining()
            try Foreign.check()
            guard ckvm_guarded_install() == 0, ckvm_guarded_install() == 0 else { exit(10) }
            try Foreign.check()
            try ClosedPage().touchUnguarded()
        }
    }

    /// Being displaced without end is an error at last, and not a table that overflows.
    @Test func displacementsAreCounted() async {
        await #expect(processExitsWith: .success) {
            var results: [Int32] = []
            for _ in 0..<20 {
                results.append(ckvm_guarded_install())
                try Foreign.install()
            }
            guard results[..<16].allSatisfy({ $0 == 0 }), results[16...].allSatisfy({ $0 == -ENOSPC }) else { exit(10) }
            exit(EXIT_SUCCESS)
        }
    }

    @Test func aFaultThatNobodyHandlesStillKills() async {
        await #expect(processExitsWith: .signal(SIGSEGV)) {
            _ = signal(SIGSEGV, SIG_DFL)
            guard ckvm_guarded_install() == 0 else { exit(10) }
            try ClosedPage().touchUnguarded()
        }
        await #expect(processExitsWith: .signal(SIGSEGV)) {
            _ = signal(SIGSEGV, SIG_DFL)
            guard ckvm_guarded_install() == 0 else { exit(10) }
            raise(SIGSEGV)
        }
        await #expect(processExitsWith: .success) {
            _ = signal(SIGSEGV, SIG_IGN)
            guard ckvm_guarded_install() == 0 else { exit(10) }
            raise(SIGSEGV)
            exit(EXIT_SUCCESS)
        }
    }
}

/// Two pages of which the second may not be touched.
struct ClosedPage: Sendable {
    let address: UInt

    init() throws {
        let kernel = LinuxKernel()
        address = UInt(bitPattern: try kernel.perform(.mmap(nil, length: 8192, protection: PROT_READ | PROT_WRITE)))
        _ = try kernel.perform(.mprotect(address: address + 4096, length: 4096, protection: PROT_NONE))
    }

    /// Copies between a buffer and the pages with the guard.
    ///
    /// - Returns: the signal, or 0, and the offset of the fault.
    func touch(_ buffer: inout [UInt8], offset: Int, isRead: Bool) throws -> (signal: Int32, offset: Int) {
        guard let page = unsafe UnsafeMutableRawPointer(bitPattern: Int(address) + offset) else { return (-1, 0) }
        var fault: UInt = 0
        let signal = unsafe buffer.withUnsafeMutableBytes { bytes -> Int32 in
            guard let base = bytes.baseAddress else { return -1 }
            return isRead
                ? unsafe ckvm_guarded_copy(base, page, bytes.count, &fault)
                : unsafe ckvm_guarded_copy(page, base, bytes.count, &fault)
        }
        return (signal, Int(fault) - Int(address))
    }

    /// Writes to the closed page without any guard.
    func touchUnguarded() throws {
        guard let page = unsafe UnsafeMutablePointer<UInt8>(bitPattern: address + 4096) else { return }
        unsafe page.pointee = 1
    }
}

/// Other code's handler: it opens the page of its own that was touched, so that the instruction succeeds.
enum Foreign {
    // Written before a handler can run, and read by it on the same thread.
    nonisolated(unsafe) static var page: UInt = 0
    nonisolated(unsafe) static var calls = 0
    nonisolated(unsafe) static var previous = sigaction()

    static func run(beforeOurs: Bool) throws {
        if beforeOurs { try install() }
        guard ckvm_guarded_install() == 0 else { exit(11) }
        if !beforeOurs {
            try install()
            guard ckvm_guarded_install() == 0 else { exit(12) }
        }
        try check()
    }

    /// A foreign fault goes to the foreign handler once, and a guarded one is returned.
    static func check() throws {
        let own = try ClosedPage()
        unsafe page = own.address + 4096
        unsafe calls = 0
        try own.touchUnguarded()
        guard unsafe calls == 1 else { exit(20) }
        let guarded = try ClosedPage()
        var buffer: [UInt8] = [1, 2, 3, 4]
        guard try guarded.touch(&buffer, offset: 4096, isRead: true).signal == SIGSEGV else { exit(21) }
        guard unsafe calls == 1 else { exit(22) }
    }

    static func install() throws {
        var action = sigaction()
        action.sa_flags = SA_SIGINFO
        unsafe action.__sigaction_handler.sa_sigaction = { _, information, _ in
            let address = unsafe information.map { unsafe UInt(bitPattern: $0.pointee._sifields._sigfault.si_addr) }
            guard let address, unsafe address == Foreign.page else { _exit(30) }
            unsafe Foreign.calls += 1
            _ = unsafe mprotect(UnsafeMutableRawPointer(bitPattern: Foreign.page), 4096, PROT_READ | PROT_WRITE)
        }
        guard unsafe sigaction(SIGSEGV, &action, nil) == 0 else { exit(31) }
    }

    static func installChaining() throws {
        var action = sigaction()
        action.sa_flags = SA_SIGINFO | SA_NODEFER
        unsafe action.__sigaction_handler.sa_sigaction = { signal, information, context in
            let address = unsafe information.map { unsafe UInt(bitPattern: $0.pointee._sifields._sigfault.si_addr) }
            guard let address, unsafe address == Foreign.page else {
                unsafe Foreign.previous.__sigaction_handler.sa_sigaction?(signal, information, context)
                return
            }
            unsafe Foreign.calls += 1
            _ = unsafe mprotect(UnsafeMutableRawPointer(bitPattern: Foreign.page), 4096, PROT_READ | PROT_WRITE)
        }
        guard unsafe sigaction(SIGSEGV, &action, &previous) == 0 else { exit(32) }
    }
}

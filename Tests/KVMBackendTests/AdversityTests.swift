import CKVM
import Custody
import CustodyPolicy
import Glibc
import Synchronization
import SystemPackage
import Testing

@testable import KVMBackend

/// What a process does to its own guest, on purpose or not: each has an outcome that is written down here.
@Suite(.needsKVM, .timeLimit(.minutes(60))) struct AdversityTests {
    /// Many threads are stopped at private pages at once, while others reach shared ones and pages change hands.
    @Test(arguments: [KVMMode.dual, .revoked]) func aStormOfSignals(mode: KVMMode) throws {
        let backend = try Guests.backend(mode, processors: 2)
        let closed = try Guests.range(0, 64)
        try backend.change(closed, from: .shared, to: .private)
        try backend.hostWrite([UInt8](repeating: 7, count: 4096), to: Guests.address(100))
        let counts = Monitor<[(stopped: Int, read: Int, wrong: Int)]>([])
        let rounds = 4000
        for thread in UInt64(0)..<6 {
            try Thread.start {
                var count = (stopped: 0, read: 0, wrong: 0)
                for round in 0..<UInt64(rounds) {
                    let page = (round &* 7 &+ thread &* 11) % 64
                    let address = Guests.address(page, round % 4096)
                    let error = backend.hostError(at: address)
                    let isStopped = error?.code == .accessDenied && error?.fault?.address == address
                    if isStopped { count.stopped += 1 } else { count.wrong += 1 }
                    // Across the border of the closed pages: the bytes before are the caller's own affair.
                    let bytes = try? backend.hostRead(16, from: Guests.address(100, round % 4000))
                    if bytes == [UInt8](repeating: 7, count: 16) { count.read += 1 } else { count.wrong += 1 }
                }
                counts.update { $0.append(count) }
            }
        }
        // Meanwhile a page goes there and back, and the guest goes on.
        var conversions = 0
        while counts.wait(for: .milliseconds(1), { $0.count == 6 ? () : nil }) == nil {
            try backend.change(Guests.range(200, 1), from: .shared, to: .private)
            #expect(try backend.guestWrite([1], to: Guests.address(200), on: conversions % 2) == .written)
            try backend.change(Guests.range(200, 1), from: .private, to: .shared)
            conversions += 1
        }
        for count in counts.update({ $0 }) { #expect(count == (rounds, rounds, 0)) }
        print("a storm of signals, \(mode): \(6 * rounds) faults on 6 threads beside \(2 * conversions) conversions")
    }

    /// Somebody's own signal takes a processor out of the guest; it goes back in, and nobody notices.
    @Test func aSignalDuringARun() throws {
        let backend = try Guests.backend(.dual)
        let monitor = try ProgramMonitor(backend)
        _ = try monitor.perform(.checksum(address: Guests.base, count: 1))
        var action = sigaction()
        unsafe action.__sigaction_handler.sa_handler = { _ in }
        try #require(unsafe sigaction(SIGUSR2, &action, nil) == 0)
        // A run that is over before this thread has been given a processor is no answer: a longer one is.
        var passes: UInt64 = 3_000_000
        while try signals(duringPasses: passes, of: monitor, backend) == 0 {
            passes *= 4
            try #require(passes < 1 << 40)
        }
    }

    /// Signals a processor's thread for as long as it makes so many passes.
    ///
    /// - Returns: how many signals there were.
    private func signals(duringPasses passes: UInt64, of monitor: ProgramMonitor, _ backend: KVMBackend) throws -> Int {
        let hammer = GuestCommand.hammer(passes: passes, address: Guests.base, count: 64)
        try #require(backend.program.memory.mailbox(of: 0)).put(hammer)
        let thread = Monitor(Optional<pthread_t>.none)
        let end = Monitor(Optional<Result<ProcessorExit, BackendError>>.none)
        try Thread.start {
            thread.update { $0 = pthread_self() }
            do throws(BackendError) {
                let exit = try monitor.processor.run(monitor, answeringRequestsWith: Refusing())
                end.update { $0 = .success(exit) }
            } catch { end.update { $0 = .failure(error) } }
            // It lives until it has been signalled for the last time.
            _ = thread.wait { $0 == nil ? () : nil }
        }
        let target = try #require(thread.wait { $0 })
        var signals = 0
        while end.update({ $0 == nil }) {
            #expect(pthread_kill(target, SIGUSR2) == 0)
            signals += 1
            _ = end.wait(for: .microseconds(200)) { $0 }
        }
        thread.update { $0 = nil }
        #expect(try end.update { $0 }?.get() == ProgramMonitor.idle)
        // Every pass was made, once.
        let counted = try backend.hostRead(8, from: Guests.address(0)).reversed().reduce(0) { $0 << 8 | UInt64($1) }
        #expect(counted == passes)
        #expect(monitor.others.isEmpty)
        print("signals during one run: \(signals)")
        return signals
    }

    /// A handler of an exit ends its thread. Whoever waits is told, and everything else goes on.
    @Test func aThreadThatDies() throws {
        let backend = try Guests.backend(.dual, processors: 2)
        let deadly = Answering { _ in pthread_exit(nil) }
        let request = GuestCommand.request(address: Guests.base, count: 4096, target: 1)
        for command in [request, .checksum(address: Guests.base, count: 1)] {
            let error = #expect(throws: BackendError.self) {
                try backend.execute(command, on: 0, answeringTo: deadly)
            }
            #expect(error?.code == .guestFailed)
            #expect(error?.message.contains("has ended within a handler") == true)
        }
        try expectTheRest(backend)
        // The processor itself is free: a monitor can take it.
        let monitor = try ProgramMonitor(backend)
        #expect(try monitor.perform(.checksum(address: Guests.base, count: 1)) == ProgramMonitor.idle)
        backend.shutDown()
    }

    /// The same in a run of a monitor's own.
    @Test func aRunWhoseThreadDies() throws {
        final class Deadly: ProcessorExitHandler {
            func writePort(_ value: UInt32, to port: UInt16, byteCount: Int) { pthread_exit(nil) }
        }
        let backend = try Guests.backend(.dual, processors: 2)
        let monitor = try ProgramMonitor(backend)
        let end = Monitor(Optional<Result<ProcessorExit, BackendError>>.none)
        try monitor.processor.start(Deadly(), answeringRequestsWith: Refusing()) { result in end.update { $0 = result }
        }
        let result = try #require(end.wait(for: .seconds(20)) { $0 })
        let error = #expect(throws: BackendError.self) { try result.get() }
        #expect(error?.code == .guestFailed)
        #expect(waits { (try? monitor.processor.registers()) != nil })
        try expectTheRest(backend)
        #expect(try monitor.run() == ProgramMonitor.idle)
        backend.shutDown()
    }

    /// A processor that KVM cannot run any more: its commands fail with the call's name, and everything else goes on.
    @Test(arguments: [Errno.ioError, .noMemory, .invalidArgument, .badFileDescriptor])
    func aProcessorThatCannotRun(errno: Errno) throws {
        let kernel = FailingKernel { call in if case .ioctl(_, .run, _) = call { true } else { false } }
        let backend = try Guests.backend(.dual, processors: 2, kernel: kernel)
        #expect(try backend.guestWrite([1], to: Guests.address(1), on: 0) == .written)
        kernel.fail(1, with: errno)
        for _ in 0..<2 {
            let error = #expect(throws: BackendError.self) { try backend.guestRead(1, from: Guests.address(1), on: 0) }
            #expect(error?.code == .guestFailed)
            let cause = error?.cause as? KVMError
            #expect(cause?.call == "KVM_RUN" && cause?.errno == errno)
        }
        #expect(kernel.failures == 1)
        kernel.fail(nil)
        try expectTheRest(backend)
        backend.shutDown()
    }

    /// The other processor, the host and conversions are as ever.
    private func expectTheRest(_ backend: KVMBackend) throws {
        #expect(try backend.guestWrite([9], to: Guests.address(3), on: 1) == .written)
        #expect(try backend.hostRead(1, from: Guests.address(3)) == [9])
        try backend.change(Guests.range(0, 16), from: .shared, to: .private)
        #expect(backend.hostError(at: Guests.address(3))?.code == .accessDenied)
        #expect(try backend.guestRead(1, from: Guests.address(3), on: 1) == .bytes([0]))
        try backend.change(Guests.range(0, 16), from: .private, to: .shared)
    }

    /// Somebody closes the virtual machine's descriptor. In a process of its own: the number may be anybody's next.
    @Test func aDescriptorThatIsClosedUnderUse() async {
        await #expect(processExitsWith: .success) {
            for mode in [KVMMode.dual, .revoked] {
                let backend = try Guests.backend(mode)
                guard try backend.guestWrite([5], to: Guests.address(1)) == .written else { exit(10) }
                close(backend.machine.virtualMachine.descriptor.rawValue)
                // What needs the machine is an error that names the call, and nothing has changed.
                do {
                    try backend.change(Guests.range(0, 4), from: .shared, to: .host)
                    exit(11)
                } catch let error as BackendError {
                    guard let cause = error.cause as? KVMError, cause.errno == .badFileDescriptor,
                        cause.meaning.contains("closed under the back end"), error.code == .system
                    else { exit(12) }
                }
                guard backend.slotRuns.count == 1 else { exit(13) }
                // What does not goes on: the processors keep their machine, and the host its mappings.
                guard try backend.guestRead(1, from: Guests.address(1)) == .bytes([5]) else { exit(14) }
                guard try backend.hostRead(1, from: Guests.address(1)) == [5] else { exit(15) }
                backend.shutDown()
            }
            exit(EXIT_SUCCESS)
        }
    }

    /// A library that comes later takes the signals' handlers, and does not pass on what is not its own.
    @Test(arguments: [true, false]) func handlersThatAreDisplacedLater(isDual: Bool) async {
        await #expect(processExitsWith: .success) { [isDual] in
            let backend = try Guests.backend(isDual ? .dual : .revoked)
            try backend.change(Guests.range(0, 4), from: .shared, to: .private)
            for round in 0..<12 {
                for number in [SIGBUS, SIGSEGV] {
                    _ = signal(number) { _ in _exit(20) }
                }
                // A shared page is read as ever, whoever has the handlers.
                guard try backend.hostRead(1, from: Guests.address(10)) == [0] else { exit(11) }
                guard let error = backend.hostError(at: Guests.address(UInt64(round) % 4)),
                    error.code == .accessDenied, error.fault?.evidence == (isDual ? "SIGBUS" : "SIGSEGV")
                else { exit(12) }
            }
            // Somebody who takes them again and again is refused at last, before the copy.
            var last: BackendError?
            for _ in 0..<16 {
                _ = signal(SIGSEGV) { _ in _exit(21) }
                last = backend.hostError(at: Guests.address(1))
            }
            guard last?.code == .resourcesExhausted else { exit(13) }
            exit(EXIT_SUCCESS)
        }
    }
}

import CKVM
import Custody
import Glibc
import Synchronization
import SystemPackage
import Testing

@testable import KVMBackend

/// Signals that the program has its own ideas about. Each in a process of its own.
@Suite(.needsKVM, .timeLimit(.minutes(60))) struct SignalTests {
    /// A thread that blocks the signals by which an access is stopped is stopped all the same, and keeps its mask.
    @Test(arguments: [KVMMode.dual.rawValue, KVMMode.revoked.rawValue])
    func aThreadThatBlocksFaults(mode: String) async {
        await #expect(processExitsWith: .success) { [mode] in
            let backend = try Guests.backend(KVMMode(rawValue: mode) ?? .dual)
            try backend.change(Guests.range(4, 1), from: .shared, to: .private)
            var all = sigset_t()
            var before = sigset_t()
            unsafe sigfillset(&all)
            guard unsafe pthread_sigmask(SIG_SETMASK, &all, nil) == 0,
                unsafe pthread_sigmask(SIG_BLOCK, nil, &before) == 0
            else { exit(10) }
            for _ in 0..<3 {
                guard try backend.hostRead(8, from: Guests.address(3)) == [UInt8](repeating: 0, count: 8) else {
                    exit(11)
                }
                guard backend.hostError(at: Guests.address(4))?.code == .accessDenied else { exit(12) }
                do {
                    try backend.hostWrite([1], to: Guests.address(4))
                    exit(13)
                } catch let error as BackendError { guard error.code == .accessDenied else { exit(14) } }
                var after = sigset_t()
                guard unsafe pthread_sigmask(SIG_BLOCK, nil, &after) == 0 else { exit(15) }
                for signal in [SIGBUS, SIGSEGV, SIGUSR1] {
                    guard unsafe sigismember(&after, signal) == sigismember(&before, signal) else { exit(16) }
                }
            }
            exit(EXIT_SUCCESS)
        }
    }

    /// Blocks every signal on the processor's thread at the guest's first word, and lets it go on.
    private struct Blocking: ProcessorExitHandler {
        let isBlocked: Monitor<Bool>
        func writePort(_ value: UInt32, to port: UInt16, byteCount: Int) {
            var all = sigset_t()
            unsafe sigfillset(&all)
            unsafe pthread_sigmask(SIG_SETMASK, &all, nil)
            isBlocked.update { $0 = true }
        }
    }

    /// A guest that says a word and then never leaves by itself again, on a thread of its own.
    private static func talker(
        _ backend: KVMBackend,
        _ handler: any ProcessorExitHandler,
        whenDone: @escaping @Sendable (Result<ProcessorExit, BackendError>) -> Void
    ) throws -> KVMProcessor {
        // out %al, %dx; jmp to itself
        try backend.hostWrite([0xEE, 0xEB, 0xFE], to: Guests.address(3))
        let processor = try ProgramMonitor(backend).processor
        var registers = try processor.registers()
        registers.rip = Guests.address(3).rawValue
        registers.rdx = 0x1234
        try processor.setRegisters(registers)
        try processor.start(handler, answeringRequestsWith: Refusing(), whenDone: whenDone)
        return processor
    }

    /// A handler that blocks all signals keeps its processor neither from a conversion nor from a shut-down.
    @Test func aHandlerThatBlocksSignals() async {
        await #expect(processExitsWith: .success) {
            let backend = try Guests.backend(.dual)
            let isBlocked = Monitor(false)
            let end = Monitor(Optional<Result<ProcessorExit, BackendError>>.none)
            _ = try SignalTests.talker(backend, Blocking(isBlocked: isBlocked)) { result in end.update { $0 = result } }
            _ = isBlocked.wait { $0 ? () : nil }
            for _ in 0..<20 {
                try backend.change(Guests.range(10, 2), from: .shared, to: .private)
                try backend.change(Guests.range(10, 2), from: .private, to: .shared)
            }
            guard end.update({ $0 == nil }) else { exit(11) }
            backend.shutDown()
            // Its promise holds when it returns: no processor is in the guest.
            guard backend.ownGate.isEmpty else { exit(12) }
            guard case .failure(let error)? = end.wait(for: .seconds(30), { $0 }), error.code == .guestFailed else {
                exit(13)
            }
            exit(EXIT_SUCCESS)
        }
    }

    // MARK: The kick signal

    /// Whoever sets the signal to be ignored, or to end the process, changes nothing.
    @Test func aSignalThatIsSetAsideIsTakenBack() async {
        await #expect(processExitsWith: .success) {
            let backend = try Guests.backend(.dual)
            let end = Monitor(Optional<Result<ProcessorExit, BackendError>>.none)
            let isAtWork = Monitor(false)
            let processor = try SignalTests.talker(backend, Telling(isAtWork)) { result in end.update { $0 = result } }
            _ = isAtWork.wait { $0 ? () : nil }
            let number = backend.ownGate.signal.number
            for handler in [SIG_IGN, SIG_DFL, SIG_IGN] {
                _ = signal(number, handler)
                try backend.change(Guests.range(10, 2), from: .shared, to: .private)
                _ = signal(number, handler)
                try backend.change(Guests.range(10, 2), from: .private, to: .shared)
            }
            _ = signal(number, SIG_IGN)
            processor.stop()
            guard case .success(.interrupted)? = end.wait(for: .seconds(30), { $0 }) else { exit(11) }
            exit(EXIT_SUCCESS)
        }
    }

    /// A handler of somebody else's is not called for a conversion, which is an error; a shut-down takes the signal.
    @Test func aSignalThatIsTakenIsAnError() async {
        await #expect(processExitsWith: .success) {
            let backend = try Guests.backend(.dual)
            let end = Monitor(Optional<Result<ProcessorExit, BackendError>>.none)
            let isAtWork = Monitor(false)
            _ = try SignalTests.talker(backend, Telling(isAtWork)) { result in end.update { $0 = result } }
            _ = isAtWork.wait { $0 ? () : nil }
            let number = backend.ownGate.signal.number
            _ = signal(number) { _ in _exit(20) }
            var before = backend.slotRuns.count
            do {
                // A processor that is out of the guest at the moment need not be called out of it.
                for _ in 0..<10_000 {
                    before = backend.slotRuns.count
                    try backend.change(Guests.range(10, 2), from: .shared, to: .private)
                    before = backend.slotRuns.count
                    try backend.change(Guests.range(10, 2), from: .private, to: .shared)
                }
                exit(11)
            } catch let error as BackendError {
                guard error.code == .guestFailed, error.message.contains("signal \(number)"),
                    error.message.contains("kick-signal")
                else { exit(12) }
            }
            // Nothing has changed, and the guest goes on.
            guard backend.slotRuns.count == before, end.update({ $0 == nil }) else { exit(13) }
            backend.shutDown()
            guard backend.ownGate.isEmpty, end.wait(for: .seconds(30), { $0 }) != nil else { exit(14) }
            exit(EXIT_SUCCESS)
        }
    }

    private struct Telling: ProcessorExitHandler {
        let isAtWork: Monitor<Bool>
        init(_ isAtWork: Monitor<Bool>) { self.isAtWork = isAtWork }
        func writePort(_ value: UInt32, to port: UInt16, byteCount: Int) { isAtWork.update { $0 = true } }
    }

    /// The signal is the one asked for; one that is no real-time signal, or has a handler, is refused.
    @Test func theSignalIsChosen() async {
        await #expect(processExitsWith: .success) {
            let configuration = try Guests.configuration()
            func backend(_ signal: Int32) throws(BackendError) -> KVMBackend {
                try KVMBackend(configuration, mode: .dual, kickSignal: signal)
            }
            let chosen = try backend(50)
            guard chosen.ownGate.signal.number == 50 else { exit(10) }
            guard try chosen.guestWrite([1], to: Guests.address(1)) == .written else { exit(11) }
            // The same once more, another one, and whatever is free.
            guard try backend(50).ownGate.signal.number == 50, try backend(51).ownGate.signal.number == 51,
                try Guests.backend(.dual).ownGate.signal.number > 51
            else { exit(12) }
            for wrong: Int32 in [0, -1, SIGUSR1, 65, 1000] {
                do throws(BackendError) {
                    _ = try backend(wrong)
                    exit(13)
                } catch { guard error.code == .invalidArgument else { exit(14) } }
            }
            _ = signal(52) { _ in }
            do throws(BackendError) {
                _ = try backend(52)
                exit(15)
            } catch { guard error.code == .resourcesExhausted else { exit(16) } }
            // A parent may have left them ignored: nobody handles them.
            for number: Int32 in 34...64 where number != 52 { _ = signal(number, SIG_IGN) }
            guard try backend(53).ownGate.signal.number == 53, try Guests.backend(.dual).ownGate.signal.number > 53,
                try backend(53).guestWrite([1], to: Guests.address(1)) == .written
            else { exit(18) }
            // Their handlers are as they were.
            var action = sigaction()
            guard unsafe sigaction(52, nil, &action) == 0, action.sa_flags & SA_SIGINFO == 0 else { exit(17) }
            exit(EXIT_SUCCESS)
        }
    }
}

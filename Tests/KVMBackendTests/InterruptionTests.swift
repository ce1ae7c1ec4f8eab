import CKVM
import Custody
import Glibc
import Synchronization
import SystemPackage
import Testing

@testable import KVMBackend

/// Signals that come all the time: a profiler's timer, with a handler that restarts nothing.
@Suite(.timeLimit(.minutes(60))) struct InterruptionTests {
    /// Two hundred guests of a mode, made, used and ended under a timer of 100 µs.
    @Test(.needsKVM, arguments: [KVMMode.dual.rawValue, KVMMode.revoked.rawValue])
    func guestsAreMadeUnderATimer(mode: String) async {
        await #expect(processExitsWith: .success) { [mode] in
            let pestering = try Pestering()
            var failures: [String] = []
            for number in 0..<200 {
                do {
                    let backend = try Guests.backend(KVMMode(rawValue: mode) ?? .dual, processors: 2)
                    try backend.populate(Guests.range(0, 512))
                    try backend.change(Guests.range(3, 5), from: .shared, to: .private)
                    guard try backend.guestWrite([7], to: Guests.address(4), on: number % 2) == .written,
                        try backend.guestRead(1, from: Guests.address(4)) == .bytes([7])
                    else { throw Unexpected.outcome }
                    try backend.discardContents(of: Guests.range(3, 5))
                    try backend.change(Guests.range(3, 5), from: .private, to: .shared)
                    backend.shutDown()
                } catch { failures.append("\(error)") }
            }
            print("under a timer, \(mode): \(Pestering.count) signals, \(failures.count) of 200 guests failed")
            for failure in failures.prefix(3) { print(failure) }
            pestering.end()
            guard Pestering.count > 1000 else { exit(10) }
            exit(failures.isEmpty ? EXIT_SUCCESS : 11)
        }
    }

    /// The rule for every call: it is made again, without signals in the end; two are not.
    @Test func everyCallButTwoIsRepeated() throws {
        // Threads of the pool that tests run on block most signals.
        let wasBlocked = Mask.blocks(SIGALRM)
        Mask.unblock(SIGALRM)
        defer { if wasBlocked { Mask.block(SIGALRM) } }
        let isAnother = { (call: SystemCall) in ["close", "KVM_RUN"].contains(call.name) }
        for call in PossibleErrors.calls where !isAnother(call) {
            // It succeeds at last; under a kernel that never lets it, it is an error, and not a loop.
            let patient = Interrupting(times: 10)
            #expect(try patient.call(call) == 42)
            #expect(patient.state.update { $0.calls } == 11)
            let masked = Interrupting(times: .max, untilBlocked: true)
            #expect(try masked.call(call) == 42)
            let endless = Interrupting(times: .max)
            let error = #expect(throws: KVMError.self) { try endless.call(call) }
            #expect(error?.errno == .interrupted)
            #expect(endless.state.update { $0.calls } < 100)
        }
        for call in PossibleErrors.calls where isAnother(call) {
            let once = Interrupting(times: .max)
            #expect(throws: KVMError.self) { try once.call(call) }
            #expect(once.state.update { $0.calls } == 1)
        }
        // The thread's mask is as it was.
        #expect(!Mask.blocks(SIGALRM))
    }

    /// A kernel whose calls are interrupted, so often or until no signal can come.
    private final class Interrupting: Kernel {
        struct State {
            var calls = 0
            var left: Int
        }

        let state: Monitor<State>
        private let untilBlocked: Bool

        init(times: Int, untilBlocked: Bool = false) {
            state = Monitor(State(left: times))
            self.untilBlocked = untilBlocked
        }

        func perform(_ call: SystemCall) throws(Errno) -> Int {
            let isBlocked = untilBlocked && Mask.blocks(SIGALRM)
            let isInterrupted = state.update { state in
                state.calls += 1
                state.left -= 1
                return state.left >= 0
            }
            if isInterrupted, !isBlocked { throw .interrupted }
            return 42
        }
    }

    /// A file that the process may not have so large is an error, and no end of the process.
    @Test(.needsKVM) func aLimitOnFilesIsAnError() async {
        await #expect(processExitsWith: .success) {
            Mask.unblock(SIGXFSZ)
            var limit = rlimit(rlim_cur: 1 << 20, rlim_max: 1 << 20)
            guard unsafe setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0 else { exit(10) }
            do {
                _ = try Guests.backend(.revoked)
                exit(11)
            } catch let error as BackendError {
                guard let cause = error.rootCause as? KVMError, cause.call == "ftruncate", cause.errno == .fileTooLarge
                else { exit(12) }
            }
            // The signal is not left for later, and the mask is as it was.
            var pending = sigset_t()
            unsafe sigpending(&pending)
            guard unsafe sigismember(&pending, SIGXFSZ) == 0, !Mask.blocks(SIGXFSZ) else { exit(13) }
            exit(EXIT_SUCCESS)
        }
    }
}

/// Signals for one thread, every 100 µs or as fast as the machine lets them.
private final class Pestering: Sendable {
    private static let signals = Atomic(0)
    private let isOver = Monitor(false)

    static var count: Int { signals.load(ordering: .relaxed) }

    /// Begins with the calling thread. The handler has nothing restarted.
    init() throws {
        var action = sigaction()
        unsafe action.__sigaction_handler.sa_handler = { _ in
            Pestering.signals.add(1, ordering: .relaxed)
        }
        guard unsafe sigaction(SIGALRM, &action, nil) == 0 else { throw Errno(rawValue: errno) }
        Mask.unblock(SIGALRM)
        let target = pthread_self()
        try Thread.start { [isOver] in
            while isOver.wait(for: .microseconds(100), { $0 ? () : nil }) == nil { pthread_kill(target, SIGALRM) }
        }
    }

    func end() { isOver.update { $0 = true } }
}

/// The calling thread's mask.
private enum Mask {
    static func blocks(_ signal: Int32) -> Bool {
        var mask = sigset_t()
        unsafe pthread_sigmask(SIG_BLOCK, nil, &mask)
        return unsafe sigismember(&mask, signal) == 1
    }

    static func block(_ signal: Int32) { change(SIG_BLOCK, signal) }

    static func unblock(_ signal: Int32) { change(SIG_UNBLOCK, signal) }

    private static func change(_ how: Int32, _ signal: Int32) {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        unsafe sigaddset(&set, signal)
        unsafe pthread_sigmask(how, &set, nil)
    }
}

#if Libvirt
import Synchronization

@testable import LibvirtBackend

/// Lets a chosen call fail.
final class FailingGate: CallGate {
    /// Whether the call is made all the same.
    enum Kind: Sendable, CaseIterable {
        case notMade
        case madeAndDenied
    }

    private struct State {
        /// How many calls are left until the one that fails.
        var countdown: Int?
        /// The only call that counts; `nil` for any.
        var wanted: Call?
        var kind = Kind.notMade
        var code: Int32 = 1
        var calls: [Call] = []
        var made: Set<Call> = []
        var failed: Call?
    }

    private let state = Mutex(State())

    /// Lets the `n`-th call from now on fail (from 1), of one kind of call or of all; none for zero.
    func fail(_ n: Int, of wanted: Call? = nil, _ kind: Kind = .notMade, code: Int32 = 1) {
        state.withLock { $0 = State(countdown: n > 0 ? n : nil, wanted: wanted, kind: kind, code: code) }
    }

    /// The calls since ``fail(_:of:_:code:)``.
    var calls: [Call] { state.withLock { $0.calls } }

    /// Those of them that succeeded at least once.
    var made: Set<Call> { state.withLock { $0.made } }

    /// The call that was made to fail.
    var failed: Call? { state.withLock { $0.failed } }

    func refusal(of call: Call) -> Int32? {
        state.withLock { state in
            state.calls.append(call)
            guard state.wanted == nil || state.wanted == call else { return nil }
            state.countdown = state.countdown.map { $0 - 1 }
            guard state.countdown == 0, state.kind == .notMade else { return nil }
            state.failed = call
            return state.code
        }
    }

    func failure(after call: Call) -> Int32? {
        state.withLock { state in
            state.made.insert(call)
            guard state.wanted == nil || state.wanted == call else { return nil }
            // One that fails by itself cannot be denied: it is the next one that succeeds.
            guard let countdown = state.countdown, countdown <= 0, state.kind == .madeAndDenied, state.failed == nil
            else { return nil }
            guard !FailingGate.returnsSomething(call) else { return nil }
            state.failed = call
            return state.code
        }
    }

    /// Whether a call returns a descriptor, a mapping, a process, a name, or the number of a callback: who made it would not
    /// learn of what has to be given back.
    static func returnsSomething(_ call: Call) -> Bool {
        switch call {
        case .host(let call):
            switch call {
            case .open, .map, .watch, .bell, .sentry, .neighbour, .makeMemoryFile, .symlink, .loop: true
            case .scan, .tasks, .descriptors, .maps, .devices, .files, .namespace, .overlay, .fileSystem: true
            default: false
            }
        case .libvirt(.open), .libvirt(.eventRegister), .libvirt(.closeCallbackRegister): true
        case .libvirt: false
        }
    }
}

#endif

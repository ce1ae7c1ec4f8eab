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
        var countdown = 0
        var kind = Kind.notMade
        var code: Int32 = 1
        var calls: [Call] = []
        var failed: Call?
    }

    private let state = Mutex(State())

    /// Lets the `n`-th call from now on fail (from 1); none for zero.
    func fail(_ n: Int, _ kind: Kind = .notMade, code: Int32 = 1) {
        state.withLock { $0 = State(countdown: n, kind: kind, code: code) }
    }

    /// The calls since ``fail(_:_:code:)``.
    var calls: [Call] { state.withLock { $0.calls } }

    /// The call that was made to fail.
    var failed: Call? { state.withLock { $0.failed } }

    func refusal(of call: Call) -> Int32? {
        state.withLock { state in
            state.calls.append(call)
            state.countdown -= 1
            guard state.countdown == 0, state.kind == .notMade else { return nil }
            state.failed = call
            return state.code
        }
    }

    func failure(after call: Call) -> Int32? {
        state.withLock { state in
            guard state.countdown == 0, state.kind == .madeAndDenied, state.failed == nil else { return nil }
            // What such a call returned is to be given back by who made it, who would not learn of it.
            guard !FailingGate.returnsSomething(call) else { return nil }
            state.failed = call
            return state.code
        }
    }

    /// Whether a call returns a descriptor, or the number of a callback.
    private static func returnsSomething(_ call: Call) -> Bool {
        switch call {
        case .host, .libvirt(.eventRegister), .libvirt(.closeCallbackRegister): true
        case .libvirt: false
        }
    }
}

#endif

#if Libvirt
import Synchronization

@testable import LibvirtBackend

/// Has something happen between a call and its answer.
final class MeanwhileGate: CallGate {
    private struct Wish {
        let call: Call
        var countdown: Int
        let body: @Sendable () -> Void
    }

    private let wish = Mutex<Wish?>(nil)
    private let count = Atomic(0)

    /// Whether it has happened.
    var isDone: Bool { count.load(ordering: .relaxed) == 1 }

    /// Calls `body` before the `n`-th call of a kind from now on (from 1) is answered.
    func doOnce(after call: Call, _ n: Int = 1, _ body: @escaping @Sendable () -> Void) {
        wish.withLock { $0 = Wish(call: call, countdown: n, body: body) }
    }

    func refusal(of call: Call) -> Int32? { nil }

    func failure(after call: Call) -> Int32? {
        let body: (@Sendable () -> Void)? = wish.withLock { wish in
            guard wish?.call == call else { return nil }
            wish?.countdown -= 1
            guard let body = wish?.body, wish?.countdown == 0 else { return nil }
            wish = nil
            return body
        }
        if let body {
            body()
            count.add(1, ordering: .relaxed)
        }
        return nil
    }
}
#endif

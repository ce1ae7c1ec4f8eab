#if Libvirt
import Glibc
import LibvirtBackend
import Synchronization

/// Kills its process before the call of a number. Calls that only look count for nothing: what is there is the same afterwards.
final class KillingGate: CallGate {
    private let last: Int?
    private let made = Atomic(0)

    init(at number: Int?) { last = number }

    /// How many calls have been made.
    var count: Int { made.load(ordering: .relaxed) }

    func refusal(of call: Call) -> Int32? {
        guard !KillingGate.looks(call) else { return nil }
        if made.add(1, ordering: .relaxed).newValue == last { kill(getpid(), SIGKILL) }
        return nil
    }

    private static func looks(_ call: Call) -> Bool {
        guard case .host(let call) = call else { return false }
        return switch call {
        case .scan, .tasks, .descriptors, .maps, .status, .devices, .files, .loop, .namespace, .lease: true
        default: false
        }
    }

    func failure(after call: Call) -> Int32? { nil }
}
#endif

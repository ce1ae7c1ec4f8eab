import Custody
import CustodyPolicy

/// A listener that refuses what a listener refused in the trace, under that one's name.
final class ReplayListener: OwnershipListener {
    private let script: ReplayScript

    init(_ script: ReplayScript) { self.script = script }

    /// The refusal that comes next: of a request, or with the end of a hand-over before it.
    private var refusal: (listener: String, veto: ListenerVeto)? {
        for record in script.next(2) {
            switch record.event {
            case .vetoed(let listener, let reason, let isTransient):
                return (listener, ListenerVeto(reason, isTransient: isTransient))
            case .settled(_, .vetoed): continue
            default: return nil
            }
        }
        return nil
    }

    var name: String { refusal?.listener ?? "replay" }

    func prepare(_ change: HostAccessChange) throws(ListenerVeto) {
        if let refusal { throw refusal.veto }
    }

    func commit(_ change: HostAccessChange) {}
    func rollBack(_ change: HostAccessChange) {}
}

import Custody
import CustodyPolicy

/// A listener that keeps book as an IOMMU would: what it prepares for takes effect at once.
final class RecordingListener: OwnershipListener {
    enum Call: Hashable, CustomStringConvertible {
        case prepare(HostAccessChange)
        case veto(HostAccessChange)
        case commit(HostAccessChange)
        case rollBack(HostAccessChange)

        var description: String {
            switch self {
            case .prepare(let change): "prepare \(change)"
            case .veto(let change): "veto \(change)"
            case .commit(let change): "commit \(change)"
            case .rollBack(let change): "roll back \(change)"
            }
        }
    }

    private struct State {
        var calls: [Call] = []
        var live: PageRunMap<Bool>
        var prepares = 0
        var vetoes: Set<Int> = []
        var open: [HostAccessChange] = []
        /// What it refused to lose: where nobody asks for its leave, it is told all the same.
        var refused: [HostAccessChange] = []
        var violations: [String] = []
        var hook: (@Sendable (Call) -> Void)?
    }

    let name: String
    private let state: Locked<State>

    init(_ name: String = "iommu", bounds: PageRange) {
        self.name = name
        state = Locked(State(live: PageRunMap(bounds: bounds, state: false)))
    }

    var calls: [Call] { state.withLock { $0.calls } }
    /// The pages that it reaches, as runs.
    var live: PageRunMap<Bool> { state.withLock { $0.live } }
    var violations: [String] { state.withLock { $0.violations } }
    /// What it has prepared for and not been told the end of.
    var open: [HostAccessChange] { state.withLock { $0.open } }

    func forgetCalls() { state.withLock { $0.calls = [] } }
    func atEachCall(_ hook: (@Sendable (Call) -> Void)?) { state.withLock { $0.hook = hook } }
    /// Refuses the n-th preparation from now on.
    func veto(_ number: Int) { state.withLock { _ = $0.vetoes.insert($0.prepares + number) } }

    func prepare(_ change: HostAccessChange) throws(ListenerVeto) {
        let (isVetoed, hook) = state.withLock { state in
            state.prepares += 1
            let isVetoed = state.vetoes.remove(state.prepares) != nil
            state.calls.append(isVetoed ? .veto(change) : .prepare(change))
            if !state.live.isUniform(change.range, !change.isGranted) {
                state.violations.append("prepare \(change), which is so already in part")
            }
            if isVetoed {
                if !change.isGranted { state.refused.append(change) }
            } else {
                state.live.set(change.range, to: change.isGranted)
                state.open.append(change)
            }
            return (isVetoed, state.hook)
        }
        hook?(.prepare(change))
        if isVetoed { throw ListenerVeto("no room") }
    }

    func commit(_ change: HostAccessChange) {
        close(.commit(change), change) { _ in }
    }

    func rollBack(_ change: HostAccessChange) {
        close(.rollBack(change), change) { $0.set(change.range, to: !change.isGranted) }
    }

    private func close(_ call: Call, _ change: HostAccessChange, _ body: (inout PageRunMap<Bool>) -> Void) {
        let hook = state.withLock { state in
            state.calls.append(call)
            if let index = state.open.lastIndex(of: change) {
                state.open.remove(at: index)
            } else if case .commit = call, let index = state.refused.lastIndex(of: change) {
                state.refused.remove(at: index)
                state.live.set(change.range, to: false)
            } else {
                state.violations.append("\(call), which was not prepared for")
            }
            body(&state.live)
            return state.hook
        }
        hook?(call)
    }
}

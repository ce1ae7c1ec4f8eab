import Custody

/// A listener with what it has been told: the pages that it knows the host to have.
///
/// Whoever calls has claimed the pages that it calls about, so that no two calls are about the same page.
final class ListenerPort: Sendable {
    private struct State {
        var granted: PageRunMap<Bool>
        var isOpen = false
        var isClosed = false
    }

    let id: ListenerID
    let listener: any OwnershipListener
    private let state: Monitor<State>

    /// A port whose listener is still to be told of the pages of `granted`.
    init(_ id: ListenerID, _ listener: any OwnershipListener, granted: PageRunMap<Bool>) {
        self.id = id
        self.listener = listener
        state = Monitor(State(granted: granted))
    }

    /// Tells the listener what there is, and lets others call it then.
    ///
    /// - Throws: ``ListenerVeto``; the listener has been told that nothing is granted, and is told nothing any more.
    func open(in layout: GuestMemoryLayout) throws(ListenerVeto) {
        let granted = state.update { $0.granted }
        var told: [HostAccessChange] = []
        var veto: ListenerVeto?
        outer: for piece in layout.regions {
            for run in granted.runs(in: piece) where run.state {
                let change = HostAccessChange(range: run.range, isGranted: true, ownership: .shared)
                do {
                    try listener.prepare(change)
                    told.append(change)
                } catch {
                    veto = error
                    break outer
                }
            }
        }
        if let veto {
            for change in told.reversed() { listener.rollBack(change) }
            close()
            throw veto
        }
        for change in told { listener.commit(change) }
        state.update { $0.isOpen = true }
    }

    /// Ends all calls, those that wait for it to be open included.
    func close() {
        state.update { state in
            state.isOpen = true
            state.isClosed = true
        }
    }

    /// Asks the listener to get ready for changes of one target, run by run.
    ///
    /// - Returns: what it has prepared for, in its order.
    /// - Throws: ``ListenerVeto``; what it had prepared for has been rolled back.
    func prepare(_ changes: Changes) throws(ListenerVeto) -> [HostAccessChange] {
        var prepared: [HostAccessChange] = []
        for change in differences(changes) {
            do {
                try listener.prepare(change)
                prepared.append(change)
            } catch {
                rollBack(prepared)
                throw error
            }
        }
        return prepared
    }

    func commit(_ changes: [HostAccessChange]) {
        state.update { state in
            for change in changes { state.granted.set(change.range, to: change.isGranted) }
        }
        for change in changes { listener.commit(change) }
    }

    func rollBack(_ changes: [HostAccessChange]) {
        for change in changes.reversed() { listener.rollBack(change) }
    }

    /// Tells a listener that joined while the changes were under way what became of the pages: those that the host has
    /// now. A listener that refuses them goes without.
    func offer(_ changes: Changes, isChanged: Bool) {
        var final = Changes()
        changes.forEach { change in
            let ownership = isChanged ? change.to : change.from
            guard ownership.allows(.host) else { return }
            final.append(OwnershipChange(range: change.range, from: .inTransit, to: ownership, initiator: .host))
        }
        for change in differences(final) {
            do { try listener.prepare(change) } catch { continue }
            commit([change])
        }
    }

    /// What the listener does not know yet, in maximal runs over all changes.
    private func differences(_ changes: Changes) -> [HostAccessChange] {
        // Nil as long as the port is not open.
        let known: State? = state.wait { $0.isOpen ? $0 : nil }
        guard let known, !known.isClosed else { return [] }
        var found: [HostAccessChange] = []
        changes.forEach { change in
            let isGranted = change.to.allows(.host)
            for run in known.granted.runs(in: change.range) where run.state != isGranted {
                var range = run.range
                if let last = found.last, last.range.end == range.start.rawValue {
                    range = last.range.joined(with: range)
                    found.removeLast()
                }
                found.append(HostAccessChange(range: range, isGranted: isGranted, ownership: change.to))
            }
        }
        return found
    }
}

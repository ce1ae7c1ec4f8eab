import Custody

/// A listener with what it has been told: the pages that it knows the host to have.
///
/// Whoever calls has claimed the pages that it calls about, so that no two calls are about the same page.
final class ListenerPort: Sendable {
    private struct State {
        var granted: PageRunMap<Bool>
        /// What the listener is getting ready for, or has.
        var open: [HostAccessChange] = []
        var isOpen = false
        var isClosed = false
        /// It is to have nothing, and that it is told as the changes end that are open.
        var isDismissed = false

        mutating func close(_ change: HostAccessChange) {
            if let index = open.lastIndex(of: change) { open.remove(at: index) }
        }
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
        let wanted = begin(changes, .changed)
        for (index, change) in wanted.enumerated() {
            do { try listener.prepare(change) } catch {
                state.update { state in wanted[index...].forEach { state.close($0) } }
                rollBack(Array(wanted[..<index]))
                throw error
            }
        }
        return wanted
    }

    func commit(_ changes: [HostAccessChange]) {
        for change in changes { listener.commit(change) }
        end(changes) { state, change in state.granted.set(change.range, to: change.isGranted) }
    }

    func rollBack(_ changes: [HostAccessChange]) {
        for change in changes.reversed() { listener.rollBack(change) }
        end(changes) { _, _ in }
    }

    /// Tells the listener what has become of pages that it did not prepare for.
    ///
    /// - Throws: ``ListenerVeto`` where it refuses what the host has; it has been told that it has none, or is told as
    ///   soon as the changes end that it prepared for, and is told nothing else any more.
    func follow(_ changes: Changes, _ ending: Ending) throws(ListenerVeto) {
        for change in begin(changes, ending) {
            do { try listener.prepare(change) } catch {
                // What the host has lost nobody can refuse.
                if change.isGranted {
                    dismiss()
                    throw error
                }
            }
            commit([change])
        }
    }

    /// Ends all calls of a listener that does not have what it is to have, and takes from it what it has.
    private func dismiss() {
        let rest: [PageRange] = state.update { state in
            state.isClosed = true
            state.isDismissed = true
            var rest = state.granted
            for change in state.open { rest.set(change.range, to: false) }
            let ranges = rest.runs.filter(\.state).map(\.range)
            for range in ranges { state.granted.set(range, to: false) }
            return ranges
        }
        takeAway(rest)
    }

    private func takeAway(_ ranges: [PageRange]) {
        for range in ranges {
            let change = HostAccessChange(range: range, isGranted: false, ownership: .inTransit)
            try? listener.prepare(change)
            listener.commit(change)
        }
    }

    /// Notes that changes are not open any more. Of a listener that has been dismissed meanwhile they are taken away.
    private func end(_ changes: [HostAccessChange], _ body: (inout State, HostAccessChange) -> Void) {
        let rest: [PageRange] = state.update { state in
            var rest: [PageRange] = []
            for change in changes {
                state.close(change)
                body(&state, change)
                guard state.isDismissed else { continue }
                rest += state.granted.runs(in: change.range).filter(\.state).map(\.range)
                state.granted.set(change.range, to: false)
            }
            return rest
        }
        takeAway(rest)
    }

    /// What the listener does not know yet, in maximal runs over all changes; it is open from now on.
    private func begin(_ changes: Changes, _ ending: Ending) -> [HostAccessChange] {
        // Nil as long as the port is not open.
        state.wait { state -> [HostAccessChange]? in
            guard state.isOpen else { return nil }
            guard !state.isClosed else { return [] }
            var found: [HostAccessChange] = []
            changes.forEach { change in
                ending.forEachRun(of: change) { range, ownership in
                    let isGranted = ownership.allows(.host)
                    for run in state.granted.runs(in: range) where run.state != isGranted {
                        var range = run.range
                        if let last = found.last, last.isGranted == isGranted, last.range.end == range.start.rawValue {
                            range = last.range.joined(with: range)
                            found.removeLast()
                        }
                        found.append(HostAccessChange(range: range, isGranted: isGranted, ownership: ownership))
                    }
                }
            }
            state.open += found
            return found
        } ?? []
    }
}

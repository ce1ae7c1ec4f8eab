import Custody

/// A listener with what it has been told: the pages that it knows the host to have.
///
/// Whoever calls has claimed the pages that it calls about, so that no two calls are about the same page. The lock is
/// never held while the listener is called.
final class ListenerPort: Sendable {
    private enum Phase {
        /// What there is, is still being found out; whoever has to know that waits.
        case joining
        /// It is being told what there is; whoever has to tell it of a change waits.
        case opening
        case open
        /// It is to have nothing, and is told that as the changes end that it has prepared for.
        case dismissed
        /// It is told nothing.
        case closed
    }

    private struct State {
        var phase = Phase.joining
        var granted: PageRunMap<Bool>
        /// The pages that the listener is getting ready for, or is ready for.
        var open: PageRunMap<Bool>
        /// How many threads are in a call of the listener.
        var calls = 0

        init(bounds: PageRange) {
            granted = PageRunMap(bounds: bounds, state: false)
            open = granted
        }
    }

    let id: ListenerID
    let listener: any OwnershipListener
    private let controller: ObjectIdentifier
    private let state: Monitor<State>

    /// A port whose listener is still to be told what there is.
    init(_ id: ListenerID, _ listener: any OwnershipListener, of controller: ObjectIdentifier, bounds: PageRange) {
        self.id = id
        self.listener = listener
        self.controller = controller
        state = Monitor(State(bounds: bounds))
    }

    /// Whether no call is under way or to come.
    var isOver: Bool {
        state.update { state in
            guard state.calls == 0 else { return false }
            switch state.phase {
            case .joining, .opening, .open: return false
            case .dismissed: return state.open.isUniform(state.open.bounds, false)
            case .closed: return true
            }
        }
    }

    /// How many threads wait for it, for tests.
    var waiting: Int { state.waiting }

    /// Calls the listener, unless its calls have ended.
    private func call<Failure: Error>(
        _ body: (any OwnershipListener) throws(Failure) -> Void
    ) throws(Failure) {
        let isEnded = state.update { state in
            if state.phase != .closed { state.calls += 1 }
            return state.phase == .closed
        }
        guard !isEnded else { return }
        defer { state.update { $0.calls -= 1 } }
        try ForeignCall.run(.listener, of: controller) { () throws(Failure) in try body(listener) }
    }

    /// Tells the listener of the pages of `granted`, and lets others call it then.
    ///
    /// - Throws: ``ListenerVeto``; the listener has been told that nothing is granted.
    func open(with granted: PageRunMap<Bool>, in layout: GuestMemoryLayout) throws(ListenerVeto) {
        state.update { state in
            state.granted = granted
            if state.phase == .joining { state.phase = .opening }
        }
        var told: [HostAccessChange] = []
        for piece in layout.regions {
            for run in granted.runs(in: piece) where run.state {
                let change = HostAccessChange(range: run.range, isGranted: true, ownership: .shared)
                do {
                    try call { listener throws(ListenerVeto) in try listener.prepare(change) }
                    told.append(change)
                } catch {
                    for change in told.reversed() { call { $0.rollBack(change) } }
                    throw error
                }
            }
        }
        for change in told { call { $0.commit(change) } }
        state.update { if $0.phase == .opening { $0.phase = .open } }
    }

    /// Ends all calls, those that wait for it to be open included.
    ///
    /// - Returns: whether no call is under way any more. Where it waits for that, it is so.
    func close(waiting: Bool) -> Bool {
        let isQuiet = state.update { state in
            state.phase = .closed
            return state.calls == 0
        }
        guard waiting, !isQuiet else { return isQuiet }
        state.wait { $0.calls == 0 ? () : nil }
        return true
    }

    /// Asks the listener to get ready for changes of one target, run by run.
    ///
    /// - Returns: what it has prepared for, in its order.
    /// - Throws: ``ListenerVeto``; what it had prepared for has been rolled back.
    func prepare(_ changes: Changes) throws(ListenerVeto) -> [HostAccessChange] {
        let wanted = begin(changes, .changed)
        for (index, change) in wanted.enumerated() {
            do {
                try call { listener throws(ListenerVeto) in try listener.prepare(change) }
            } catch {
                state.update { state in wanted[index...].forEach { state.open.set($0.range, to: false) } }
                rollBack(Array(wanted[..<index]))
                throw error
            }
        }
        return wanted
    }

    func commit(_ changes: [HostAccessChange]) {
        for change in changes { call { $0.commit(change) } }
        end(changes) { state, change in state.granted.set(change.range, to: change.isGranted) }
    }

    func rollBack(_ changes: [HostAccessChange]) {
        for change in changes.reversed() { call { $0.rollBack(change) } }
        end(changes) { _, _ in }
    }

    /// Tells the listener what has become of pages that it did not prepare for.
    ///
    /// - Throws: ``ListenerVeto`` where it refuses what the host has; it has been told that it has none, or is told as
    ///   soon as the changes end that it prepared for, and is told nothing else any more.
    func follow(_ changes: Changes, _ ending: Ending) throws(ListenerVeto) {
        for change in begin(changes, ending) {
            do {
                try call { listener throws(ListenerVeto) in try listener.prepare(change) }
            } catch {
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
            if state.phase != .closed { state.phase = .dismissed }
            var ranges: [PageRange] = []
            for run in state.granted.runs where run.state {
                ranges += state.open.runs(in: run.range).filter { !$0.state }.map(\.range)
            }
            for range in ranges { state.granted.set(range, to: false) }
            return ranges
        }
        takeAway(rest)
    }

    private func takeAway(_ ranges: [PageRange]) {
        for range in ranges {
            let change = HostAccessChange(range: range, isGranted: false, ownership: .inTransit)
            // What the host has lost nobody can refuse.
            try? call { listener throws(ListenerVeto) in try listener.prepare(change) }
            call { $0.commit(change) }
        }
    }

    /// Notes that changes are not open any more. Of a listener that has been dismissed meanwhile they are taken away.
    private func end(_ changes: [HostAccessChange], _ body: (inout State, HostAccessChange) -> Void) {
        let rest: [PageRange] = state.update { state in
            var rest: [PageRange] = []
            for change in changes {
                state.open.set(change.range, to: false)
                body(&state, change)
                guard state.phase == .dismissed else { continue }
                rest += state.granted.runs(in: change.range).filter(\.state).map(\.range)
                state.granted.set(change.range, to: false)
            }
            return rest
        }
        takeAway(rest)
    }

    /// What the listener does not know yet, in maximal runs over all changes; it is open from now on. Where there is
    /// anything, it waits until the listener knows what there was before.
    private func begin(_ changes: Changes, _ ending: Ending) -> [HostAccessChange] {
        state.wait { state -> [HostAccessChange]? in
            let found: [HostAccessChange]
            switch state.phase {
            case .joining: return nil
            case .dismissed, .closed: return []
            case .opening, .open: found = ListenerPort.unknown(changes, ending, state.granted)
            }
            guard state.phase == .open || found.isEmpty else { return nil }
            for change in found { state.open.set(change.range, to: true) }
            return found
        } ?? []
    }

    /// What a listener that knows of `granted` has to be told.
    private static func unknown(
        _ changes: Changes,
        _ ending: Ending,
        _ granted: PageRunMap<Bool>
    ) -> [HostAccessChange] {
        var found: [HostAccessChange] = []
        changes.forEach { change in
            ending.forEachRun(of: change) { range, ownership in
                let isGranted = ownership.allows(.host)
                for run in granted.runs(in: range) where run.state != isGranted {
                    var range = run.range
                    if let last = found.last, last.isGranted == isGranted, last.range.end == range.start.rawValue {
                        range = last.range.joined(with: range)
                        found.removeLast()
                    }
                    found.append(HostAccessChange(range: range, isGranted: isGranted, ownership: ownership))
                }
            }
        }
        return found
    }
}

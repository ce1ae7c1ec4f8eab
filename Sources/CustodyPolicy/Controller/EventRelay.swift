import Custody
import Synchronization

/// Tells an observer what has happened: at once, or on another thread where this one must not wait for it.
///
/// What waits is told before what is told at once afterwards. There is no more of it than leases and hand-overs that have
/// ended since somebody was last told at once, which the beginning of each one is. It has the time at which it is told, so
/// that no thread tells of an earlier time than before.
final class EventRelay: Sendable {
    private struct State {
        var events: [ControllerEvent] = []
        /// Whether somebody is telling what waits, or is going to.
        var isTelling = false
    }

    private let observer: any ControllerObserver
    private let executor: any CompletionExecutor
    private let state = Locked(State())
    /// Whether something may wait: looked at without the lock.
    private let isWaiting = Atomic(false)

    init(_ observer: any ControllerObserver, _ executor: any CompletionExecutor) {
        self.observer = observer
        self.executor = executor
    }

    /// The number of events that wait.
    var count: Int { state.withLock { $0.events.count } }

    /// Tells the observer on the caller's stack.
    func tell(_ event: ControllerEvent) {
        if isWaiting.load(ordering: .acquiring) {
            for earlier in take(until: event.time) { tell(earlier, at: event.time) }
        }
        observer.observe(event)
    }

    /// Has the observer told by another thread. Never waits for it.
    func post(_ event: ControllerEvent) {
        let isFirst = state.withLock { state in
            state.events.append(event)
            isWaiting.store(true, ordering: .releasing)
            defer { state.isTelling = true }
            return !state.isTelling
        }
        if isFirst { executor.submitConcurrently { [self] in tellWaiting() } }
    }

    private func tellWaiting() {
        while true {
            for event in take(until: .never) { tell(event, at: executor.now) }
            let isDone = state.withLock { state in
                if state.events.isEmpty { state.isTelling = false }
                return state.events.isEmpty
            }
            if isDone { return }
        }
    }

    private func tell(_ event: ControllerEvent, at time: Timestamp) {
        observer.observe(ControllerEvent(sequence: event.sequence, time: time, kind: event.kind))
    }

    /// Takes what waits, up to the first event that happened after `time`.
    private func take(until time: Timestamp) -> [ControllerEvent] {
        state.withLock { state in
            let taken = state.events.prefix { $0.time <= time }
            state.events.removeFirst(taken.count)
            isWaiting.store(!state.events.isEmpty, ordering: .releasing)
            return Array(taken)
        }
    }
}

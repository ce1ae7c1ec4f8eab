import Custody
package import CustodyPolicy

/// Keeps what a controller did until somebody takes it.
package final class EventRecorder: ControllerObserver {
    private let events = Locked<[RecordedEvent]>([])

    package init() {}

    package func observe(_ event: ControllerEvent) {
        events.withLock { $0.append(RecordedEvent(event: event, thread: Thread.number)) }
    }

    /// How many wait to be taken.
    package var count: Int { events.withLock { $0.count } }

    /// What the calling thread has told of beyond the first so many that wait.
    package func own(after count: Int) -> [ControllerEvent] {
        let thread = Thread.number
        return events.withLock { $0.dropFirst(count).filter { $0.thread == thread }.map(\.event) }
    }

    /// Takes what there is, in the order in which it took effect.
    package func take() -> [RecordedEvent] {
        let taken = events.withLock { events in
            defer { events = [] }
            return events
        }
        // Events of one step are in the order in which they were told.
        return taken.enumerated()
            .sorted { ($0.element.event.sequence, $0.offset) < ($1.element.event.sequence, $1.offset) }
            .map(\.element)
    }
}

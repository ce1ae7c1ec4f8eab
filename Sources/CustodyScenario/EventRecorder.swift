import Custody
import CustodyPolicy

/// Keeps what a controller did until somebody takes it.
final class EventRecorder: ControllerObserver {
    private let events = Locked<[ControllerEvent]>([])

    func observe(_ event: ControllerEvent) { events.withLock { $0.append(event) } }

    func take() -> [ControllerEvent] {
        events.withLock { events in
            defer { events = [] }
            return events
        }
    }
}

import CustodyPolicy
import Synchronization

/// Keeps what a controller did until somebody takes it.
final class EventRecorder: ControllerObserver {
    private let events = Mutex<[ControllerEvent]>([])

    func observe(_ event: ControllerEvent) { events.withLock { $0.append(event) } }

    func take() -> [ControllerEvent] {
        events.withLock { events in
            defer { events = [] }
            return events
        }
    }
}

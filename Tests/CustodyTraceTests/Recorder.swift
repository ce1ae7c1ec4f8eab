import CustodyPolicy
import Synchronization

/// Keeps the events of a controller.
final class Recorder: ControllerObserver {
    private let kept = Mutex<[ControllerEvent]>([])

    var events: [ControllerEvent] { kept.withLock { $0 } }

    func observe(_ event: ControllerEvent) { kept.withLock { $0.append(event) } }
}

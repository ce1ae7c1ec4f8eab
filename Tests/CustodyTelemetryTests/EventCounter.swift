import CustodyPolicy
import Synchronization

/// Counts events.
final class EventCounter: ControllerObserver {
    private let events = Atomic(0)

    var count: Int { events.load(ordering: .relaxed) }

    func observe(_ event: ControllerEvent) { events.add(1, ordering: .relaxed) }
}

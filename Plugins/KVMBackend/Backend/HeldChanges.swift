import Custody

/// The hand-overs of a back end that wait for references that only the kernel sees.
///
/// Nobody says when such a reference goes, so it is asked for: after ``firstDelay``, and each time after twice as long,
/// up to ``lastDelay``.
final class HeldChanges: Sendable {
    /// The time to the first further attempt: a reference that was just passing by is gone by then.
    static let firstDelay = Duration.milliseconds(1)
    /// The longest time between two attempts.
    static let lastDelay = Duration.milliseconds(100)

    private struct Waiting {
        let reservation: Reservation
        /// The timer of the next attempt, once there is one.
        var timer: TimerID?
    }

    private struct State {
        var waiting: [BackendHandover: Waiting] = [:]
        var running: Set<BackendHandover> = []
        var next: UInt64 = 0
    }

    private let state = Monitor(State())

    /// Enters a hand-over whose plan is kept under a reservation.
    func add(_ reservation: Reservation) -> BackendHandover {
        state.update { state in
            state.next += 1
            let handover = BackendHandover(rawValue: state.next)
            state.waiting[handover] = Waiting(reservation: reservation)
            return handover
        }
    }

    /// Remembers the timer of the next attempt.
    ///
    /// - Returns: `false` where that has begun, or the hand-over has ended: the timer is to be withdrawn.
    func keep(_ timer: TimerID, for handover: BackendHandover) -> Bool {
        state.update { state in
            guard let waiting = state.waiting[handover], waiting.timer == nil else { return false }
            state.waiting[handover]?.timer = timer
            return true
        }
    }

    /// Begins an attempt; `nil` where the hand-over has been withdrawn. It ends with ``end(_:)`` or ``keep(_:_:)``.
    func begin(_ handover: BackendHandover) -> Reservation? {
        state.update { state in
            guard let waiting = state.waiting.removeValue(forKey: handover) else { return nil }
            state.running.insert(handover)
            return waiting.reservation
        }
    }

    /// Ends an attempt that was in vain.
    func keep(_ handover: BackendHandover, _ reservation: Reservation) {
        state.update { state in
            state.running.remove(handover)
            state.waiting[handover] = Waiting(reservation: reservation)
        }
    }

    /// Ends an attempt, and with it the hand-over.
    func end(_ handover: BackendHandover) {
        state.update { _ = $0.running.remove(handover) }
    }

    /// Takes a hand-over out that waits, and waits itself while an attempt is under way; `nil` where it has ended.
    ///
    /// - Returns: its reservation, and the timer of its next attempt, which is to be withdrawn.
    func withdraw(_ handover: BackendHandover) -> (reservation: Reservation, timer: TimerID?)? {
        let found: Waiting?? = state.wait { state in
            if state.running.contains(handover) { return nil }
            return .some(state.waiting.removeValue(forKey: handover))
        }
        return (found ?? nil).map { ($0.reservation, $0.timer) }
    }

    /// How many wait.
    var count: Int { state.update { $0.waiting.count + $0.running.count } }
}

import Custody

/// A hand-over that is pending: what it is to change, and how far it has got.
final class Handover: Sendable {
    let ticket: Ticket
    let work: Work

    /// What is going to happen to it at a certain time.
    enum Timer {
        /// It is given up.
        case deadline
        /// It is tried again.
        case retry
    }

    private struct Timers {
        var deadline: TimerID?
        var retry: TimerID?
        var isOver = false
    }

    /// The changes so far. Taken out by whoever works on them, so that no lock is held across a call of the back end.
    private let transaction: Locked<Transaction?>

    private let timers = Locked(Timers())

    init(_ ticket: Ticket, _ work: Work) {
        self.ticket = ticket
        self.work = work
        transaction = Locked(nil)
    }

    func takeTransaction() -> Transaction? { transaction.withLock { $0.take() } }

    func keep(_ kept: consuming Transaction) {
        var kept: Transaction? = consume kept
        transaction.withLock { $0 = kept.take() }
    }

    /// Remembers a timer for as long as the hand-over lasts.
    ///
    /// - Returns: `false` where it is over already: the timer is to be withdrawn.
    func keep(_ id: TimerID, for timer: Timer) -> Bool {
        timers.withLock { timers in
            guard !timers.isOver else { return false }
            switch timer {
            case .deadline: timers.deadline = id
            case .retry: timers.retry = id
            }
            return true
        }
    }

    /// Takes the timers out, for good: they are to be withdrawn.
    func takeTimers() -> [TimerID] {
        timers.withLock { timers in
            defer { timers = Timers(isOver: true) }
            return [timers.deadline, timers.retry].compactMap { $0 }
        }
    }
}

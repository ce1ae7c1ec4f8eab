import Custody

/// A hand-over that is pending: what it is to change, and how far it has got.
final class Handover: Sendable {
    let ticket: Ticket
    let work: Work

    /// The changes so far. Taken out by whoever works on them, so that no lock is held across a call of the back end.
    private let transaction: Locked<Transaction?>

    private let timer = Locked<TimerID?>(nil)

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

    /// Remembers the timer of the deadline.
    func keep(_ timer: TimerID) { self.timer.withLock { $0 = timer } }

    func takeTimer() -> TimerID? { timer.withLock { $0.take() } }
}

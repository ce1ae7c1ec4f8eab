import Custody
import CustodyPolicy

extension ConversionOutcome {
    var isCompleted: Bool {
        guard case .completed = status else { return false }
        return true
    }

    var ticket: Ticket? {
        guard case .pending(let ticket, _) = status else { return nil }
        return ticket
    }

    /// Who stands in the way of a hand-over that was not registered.
    var blockers: [Blocker]? {
        guard case .blocked(let blockers) = status else { return nil }
        return blockers
    }

    var isDeferred: Bool {
        guard case .deferred = status else { return false }
        return true
    }

    /// The status in one word.
    var word: String {
        switch status {
        case .completed: "completed"
        case .blocked: "blocked"
        case .pending: "pending"
        case .deferred: "deferred"
        case .stopped: "stopped"
        }
    }
}

extension TicketResult {
    /// The result in one word.
    var word: String {
        switch self {
        case .completed: "completed"
        case .cancelled: "cancelled"
        case .expired: "expired"
        case .failed: "failed"
        case .vetoed: "vetoed"
        }
    }
}

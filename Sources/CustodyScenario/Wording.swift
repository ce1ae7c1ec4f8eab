import Custody
import CustodyPolicy
import CustodyProtocols

// How outcomes are put into words, for timelines and for expectations.

extension ConversionOutcome.Status {
    /// The word that a scenario file uses.
    var word: String {
        switch self {
        case .completed: "completed"
        case .blocked: "blocked"
        case .pending: "pending"
        case .deferred: "deferred"
        case .stopped: "refused"
        }
    }
}

extension ConversionOutcome {
    /// Who stands in the way.
    var blockers: [Blocker] {
        switch status {
        case .blocked(let blockers), .pending(_, let blockers): blockers
        case .completed, .deferred, .stopped: []
        }
    }

    /// The outcome in a few words.
    var text: String {
        switch status {
        case .completed: changedPages == 0 ? "completed, was so already" : "completed, contents \(contents.rawValue)"
        case .blocked: "blocked"
        case .pending(let ticket, _): "pending as hand-over \(ticket.id)"
        case .deferred(_, let reason): "deferred: \(reason)"
        case .stopped(let error): "refused: \(error.summary)"
        }
    }
}

extension GuestReply {
    /// The word that a scenario file uses.
    var word: String {
        switch self {
        case .done: "done"
        case .retry: "retry"
        case .refused: "refused"
        }
    }

    /// The reply in a few words.
    var text: String {
        guard case .retry(let address) = self else { return word }
        return "retry from \(address)"
    }
}

extension TicketResult {
    /// The word that a scenario file uses.
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

extension ControllerEvent {
    /// The rule that decided, where one did.
    var decidedBy: String? {
        guard case .decided(_, let decision) = kind else { return nil }
        return decision.reason?.rule
    }

    /// Whether nothing can follow.
    var isEnd: Bool {
        guard case .lost = kind else { return false }
        return true
    }

    /// Why a request was not carried out.
    var refusal: String? {
        switch kind {
        case .malformed(_, let error): "\(error)"
        case .failed(_, let error): error.summary
        case .answered(_, let outcome):
            if case .stopped(let error) = outcome.status { error.summary } else { nil }
        default: nil
        }
    }

    /// How far a hand-over has got, in a few words.
    var advance: String? {
        guard case .advanced(let ticket, let blockers) = kind else { return nil }
        let holders = blockers.map { "\($0.holder)" }.joined(separator: ", ")
        return "\(ticket.id) has one half done, and is held by \(holders.isEmpty ? "nobody" : holders)"
    }

    /// The end of a hand-over, in a few words.
    var settlement: String? {
        guard case .settled(let ticket, let result) = kind else { return nil }
        switch result {
        case .failed, .vetoed: return "\(ticket.id) \(result)"
        case .completed, .cancelled, .expired: return "\(ticket.id) \(result.word)"
        }
    }
}

extension [UInt8] {
    /// The bytes as quoted text where they are printable, else in hexadecimal, cut to what fits a line.
    var text: String {
        let shown = prefix(24)
        let tail = count > shown.count ? "…" : ""
        if shown.allSatisfy({ $0 >= 0x20 && $0 < 0x7f }), !isEmpty {
            return "\"" + String(decoding: shown, as: UTF8.self) + tail + "\""
        }
        if allSatisfy({ $0 == 0 }) { return "\(count) zero bytes" }
        return shown.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ") + tail
    }
}

extension ScenarioAction {
    /// The pages whose ownership before the step is worth knowing.
    var range: PageRange? {
        switch self {
        case .guestRequests(_, _, let address, let byteCount, _, _):
            try? PageRange(address: GuestPhysicalAddress(address), byteCount: byteCount)
        case .hostConverts(_, let range, _, _, _, _), .hostDiscards(let range, _), .check(_, let range): range
        default: nil
        }
    }
}

extension CustodyProtocols.Operation.Kind {
    /// The kind in a word or two, the words of a scenario file.
    var text: String { String(describing: self).map { $0.isUppercase ? " \($0.lowercased())" : "\($0)" }.joined() }
}

extension ScenarioAction {
    /// Whether the policy is asked about the step.
    var isDecidedUpon: Bool {
        switch self {
        case .guestRequests, .hostConverts: true
        default: false
        }
    }
}

/// How a pending hand-over ended. It ends exactly once.
public enum TicketResult: Sendable {
    /// The pages have changed hands.
    case completed(ContentsEffect)
    /// It was withdrawn; the pages are in the ownership before.
    case cancelled
    /// Its deadline passed; the pages are in the ownership before. Where only leases held it up it ends at its deadline,
    /// whatever the back end is doing; where the back end had begun, once that has taken it back.
    case expired
    /// It could not be carried out or taken back; the pages are in the ownership before, unless the back end is lost or
    /// the guest keeps what it had been given.
    case failed(BackendError)
    /// A listener refused it, by its name; the pages are in the ownership before.
    case vetoed(by: String, reason: String)
}

extension TicketResult: CustomStringConvertible {
    /// The end in a few words.
    public var description: String {
        switch self {
        case .completed(let contents): "completed, contents \(contents.rawValue)"
        case .cancelled: "cancelled"
        case .expired: "expired"
        case .failed(let error): "failed: \(error.summary)"
        case .vetoed(let listener, let reason): "vetoed by \(listener): \(reason)"
        }
    }
}

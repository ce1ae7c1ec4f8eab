public import Custody

/// Why the host may not have pages, or could not reach their bytes.
public enum AccessError: Error, Sendable {
    /// The first page of the range that the host does not own, and who does.
    case notOwned(PageNumber, Ownership)
    /// The first page of the range that is in transit, and the hand-over where it is a pending one.
    case inTransit(PageNumber, TicketID?)
    /// The first page of the range that is not RAM.
    case hole(PageNumber)
    /// The address and the length are no range.
    case invalid(RangeError)
    /// The back end stopped the access, or is gone.
    case backend(BackendError)
}

extension AccessError: CustomStringConvertible {
    /// One sentence that names the page.
    public var description: String {
        switch self {
        case .notOwned(let page, let ownership): "the page at \(page.address) is \(ownership)"
        case .inTransit(let page, let ticket):
            "the page at \(page.address) is in transit" + (ticket.map { " (hand-over \($0))" } ?? "")
        case .hole(let page): "there is no memory at \(page.address)"
        case .invalid(let error): "\(error)"
        case .backend(let error): "\(error)"
        }
    }
}

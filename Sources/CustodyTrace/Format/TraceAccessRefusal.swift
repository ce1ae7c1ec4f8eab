public import Custody
public import CustodyPolicy

/// Why the host did not get a lease, as a trace has it.
public struct TraceAccessRefusal: Error, Sendable, Hashable, Codable {
    /// The kinds of refusal.
    public enum Code: String, Sendable, Hashable, CaseIterable, Codable {
        /// The host does not own a page.
        case notOwned
        /// A page is in transit.
        case inTransit
        /// A page is not RAM.
        case hole
        /// The address and the length are no range.
        case invalid
        /// The back end is gone.
        case backend
    }

    /// The kind of refusal.
    public let code: Code
    /// The page in question.
    public let page: PageNumber?
    /// Who owns the page.
    public let ownership: Ownership?
    /// The hand-over that the page is in, where it is a pending one.
    public let ticket: TicketID?
    /// What is wrong.
    public let message: String

    /// The refusal as a value that can be written.
    public init(_ error: AccessError) {
        message = "\(error)"
        switch error {
        case .notOwned(let page, let ownership):
            (code, self.page, self.ownership, ticket) = (.notOwned, page, ownership, nil)
        case .inTransit(let page, let ticket):
            (code, self.page, ownership, self.ticket) = (.inTransit, page, nil, ticket)
        case .hole(let page): (code, self.page, ownership, ticket) = (.hole, page, nil, nil)
        case .invalid: (code, page, ownership, ticket) = (.invalid, nil, nil, nil)
        case .backend: (code, page, ownership, ticket) = (.backend, nil, nil, nil)
        }
    }
}

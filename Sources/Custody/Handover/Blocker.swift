/// One reference that a hand-over waits for, or that must go before one can begin.
public struct Blocker: Sendable, Hashable, Codable {
    /// Who holds the reference.
    public let holder: Holder
    /// The pages that it holds, as far as they are in question.
    public let range: PageRange
    /// What kind of reference it is.
    public let kind: LeaseKind
    /// Since when.
    public let since: Timestamp

    /// Names a reference.
    public init(holder: Holder, range: PageRange, kind: LeaseKind, since: Timestamp) {
        self.holder = holder
        self.range = range
        self.kind = kind
        self.since = since
    }
}

extension Blocker: CustomStringConvertible {
    /// Holder, kind and pages.
    public var description: String { "\(holder) (\(kind.rawValue) of \(range))" }
}

public import Custody

/// A lease of the host as a trace has it.
public struct TraceLease: Sendable, Hashable, Codable {
    /// Its number.
    public let id: LeaseID
    /// What kind of reference it is.
    public let kind: LeaseKind
    /// The pages.
    public let range: PageRange
    /// Who holds it.
    public let holder: Holder
}

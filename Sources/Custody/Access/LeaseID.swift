/// The number of a lease, unique within its ledger.
public struct LeaseID: RawRepresentable, Sendable, Hashable, Comparable, Codable {
    /// The number.
    public let rawValue: UInt64

    /// A lease with the given number.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Orders leases by age, the oldest first.
    public static func < (left: LeaseID, right: LeaseID) -> Bool { left.rawValue < right.rawValue }
}

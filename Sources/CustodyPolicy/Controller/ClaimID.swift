/// The number of a claim: no two claims of a controller have the same one.
struct ClaimID: Sendable, Hashable, Comparable {
    /// How many there were before it.
    let age: UInt64
    /// Its place in the table, which another claim has after it.
    let place: Int

    /// Orders claims by age, the oldest first.
    static func < (left: ClaimID, right: ClaimID) -> Bool { left.age < right.age }
}

public import Custody

/// What a controller made of what its back end found: when it had reached its guest again, or a guest kept what it was to
/// give back.
public struct Reconciliation: Sendable, Hashable, Codable {
    /// Pages that had changed hands without the controller: it follows. Holders of pages that the host lost are asked
    /// to let go.
    public let ownership: [OwnershipDifference]
    /// The waiting hand-overs whose pages were in the ownership asked for, the oldest first.
    public let completed: [TicketID]
    /// The waiting hand-overs that failed because their pages had changed hands in another way.
    public let failed: [TicketID]

    /// Whether nothing had happened in between.
    public var isExact: Bool { ownership.isEmpty && completed.isEmpty && failed.isEmpty }
}

extension Reconciliation: CustomStringConvertible {
    /// All of it in one line.
    public var description: String {
        var parts = ownership.map { "\($0)" }
        parts += completed.map { "hand-over \($0) is complete" }
        parts += failed.map { "hand-over \($0) failed" }
        return parts.isEmpty ? "nothing had happened" : parts.joined(separator: ", ")
    }
}

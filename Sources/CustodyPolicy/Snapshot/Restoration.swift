public import Custody

/// What became of a snapshot when a controller went on from it.
///
/// What the back end reports is the truth. Leases belonged to holders that are gone with the process that had them.
public struct Restoration: Sendable, Equatable {
    /// A hand-over that nobody goes on with.
    public struct Lost: Sendable, Hashable {
        /// Its number.
        public let ticket: TicketID
        /// Why: a part of a sentence.
        public let reason: String
    }

    /// Pages that the back end has in another ownership than the snapshot. A page in transit is expected to be in the
    /// ownership before it or after it.
    public let ownership: [OwnershipDifference]
    /// The hand-overs that go on under their old numbers, the oldest first.
    public let resumed: [TicketID]
    /// The hand-overs whose pages are already in the ownership asked for.
    public let completed: [TicketID]
    /// The hand-overs that are given up.
    public let lost: [Lost]
    /// The leases of the snapshot: whoever still needs one asks for it again.
    public let leases: [ControllerSnapshot.Lease]
    /// The pages that still become private by themselves.
    public let timeBoxes: [PageRange]

    /// Whether the back end and the snapshot agree, and nothing is lost.
    public var isExact: Bool { ownership.isEmpty && lost.isEmpty && leases.isEmpty }
}

extension Restoration: CustomStringConvertible {
    /// A line for each thing.
    public var description: String {
        var lines = ownership.map { "\($0) by the back end" }
        lines += resumed.map { "hand-over \($0) goes on" }
        lines += completed.map { "hand-over \($0) is complete" }
        lines += lost.map { "hand-over \($0.ticket) is lost: \($0.reason)" }
        lines += leases.map { "lease of \($0.range) by \($0.holder) is gone" }
        lines += timeBoxes.map { "\($0) still becomes private by itself" }
        return lines.isEmpty ? "nothing was under way" : lines.joined(separator: "\n")
    }
}

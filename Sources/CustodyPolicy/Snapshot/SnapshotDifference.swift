public import Custody

/// What changed from one snapshot to a later one.
public struct SnapshotDifference: Sendable, Equatable {
    /// A mark of the policy's memory that was set, moved or removed.
    public struct Mark: Sendable, Hashable {
        /// Its name.
        public let name: String
        /// What it was.
        public let before: Timestamp?
        /// What it is.
        public let after: Timestamp?
    }

    /// Pages in another ownership.
    public let ownership: [OwnershipDifference]
    /// Leases that are new.
    public let leased: [ControllerSnapshot.Lease]
    /// Leases that are gone.
    public let released: [ControllerSnapshot.Lease]
    /// Hand-overs that are pending now and were not.
    public let begun: [ControllerSnapshot.Change]
    /// Hand-overs that were pending and are not any more.
    public let ended: [ControllerSnapshot.Change]
    /// Marks that are not as they were, by name.
    public let marks: [Mark]
    /// Time boxes that are new.
    public let openedBoxes: [ControllerSnapshot.TimeBox]
    /// Time boxes that are gone, or have lost pages.
    public let closedBoxes: [ControllerSnapshot.TimeBox]
    /// The back end's loss, where it happened in between.
    public let lost: String?

    /// Whether nothing changed.
    public var isEmpty: Bool {
        ownership.isEmpty && leased.isEmpty && released.isEmpty && begun.isEmpty && ended.isEmpty && marks.isEmpty
            && openedBoxes.isEmpty && closedBoxes.isEmpty && lost == nil
    }
}

extension SnapshotDifference: CustomStringConvertible {
    /// A line for each thing that changed.
    public var description: String {
        func text(_ change: ControllerSnapshot.Change) -> String {
            "hand-over \(change.ticket.map { "\($0)" } ?? "") of \(change.range) to \(change.target)"
        }
        func text(_ lease: ControllerSnapshot.Lease) -> String {
            "\(lease.kind.rawValue) of \(lease.range) by \(lease.holder)"
        }
        func text(_ time: Timestamp?) -> String { time.map { "\($0.rawValue) ns" } ?? "none" }
        func text(_ box: ControllerSnapshot.TimeBox) -> String {
            "time box of \(box.ranges.map { "\($0)" }.joined(separator: ", ")) until \(box.due.rawValue) ns"
        }
        var lines = ownership.map { "\($0)" }
        lines += leased.map { "+ \(text($0))" } + released.map { "- \(text($0))" }
        lines += begun.map { "+ \(text($0))" } + ended.map { "- \(text($0))" }
        lines += openedBoxes.map { "+ \(text($0))" } + closedBoxes.map { "- \(text($0))" }
        lines += marks.map { "mark \($0.name): \(text($0.before)) → \(text($0.after))" }
        if let lost { lines.append("lost: \(lost)") }
        return lines.isEmpty ? "nothing" : lines.joined(separator: "\n")
    }
}

extension ControllerSnapshot {
    /// What changed since an earlier snapshot. Times, and what is counted from what is listed, are no difference.
    ///
    /// - Complexity: O(*n* log *n*) in the size of both.
    public func difference(from earlier: ControllerSnapshot) -> SnapshotDifference {
        func gone<Element: Hashable>(_ from: [Element], _ to: [Element]) -> [Element] {
            let there = Set(to)
            return from.filter { !there.contains($0) }
        }
        func gone(_ from: [Change], _ to: [Change]) -> [Change] {
            let there = Set(to.compactMap(\.ticket))
            return from.filter { $0.ticket.map { !there.contains($0) } ?? false }
        }
        let names = Set(memory.marks.keys).union(earlier.memory.marks.keys).sorted()
        return SnapshotDifference(
            ownership: OwnershipDifference.between(earlier.ownership, ownership),
            leased: gone(leases, earlier.leases),
            released: gone(earlier.leases, leases),
            begun: gone(handovers, earlier.handovers),
            ended: gone(earlier.handovers, handovers),
            marks: names.compactMap { name in
                let (before, after) = (earlier.memory[name], memory[name])
                return before == after ? nil : SnapshotDifference.Mark(name: name, before: before, after: after)
            },
            openedBoxes: gone(timeBoxes, earlier.timeBoxes),
            closedBoxes: gone(earlier.timeBoxes, timeBoxes),
            lost: earlier.lost == nil ? lost : nil
        )
    }
}

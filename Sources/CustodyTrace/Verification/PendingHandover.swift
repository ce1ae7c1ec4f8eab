import Custody

/// A hand-over that is pending.
struct PendingHandover: Sendable {
    var ticket: TraceTicket
    /// The request that it was registered for.
    let request: TraceRequest
    /// The pages in transit, as they were.
    var before: [PageRun<Ownership>]
    /// How far its changes have got, where the back end is at them.
    var progress = ChangeProgress()
    /// Whom it waits for, as far as was told last.
    var blockers: [Blocker] = []
    /// When it is tried again, where that was put off.
    var retry: Timestamp?
}

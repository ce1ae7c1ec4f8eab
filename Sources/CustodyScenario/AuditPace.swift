/// How often all of the ownership is held against the events of a play: after each step while it is in few runs, and later so
/// seldom that the looks cost no more than the events do.
struct AuditPace: Sendable {
    /// How many runs there were at the last look.
    private var runs = 0
    /// How many events there have been since.
    private var events = 0

    /// Up to so many runs are looked at each time.
    private static let fewRuns = 64
    /// An event pays for so many runs.
    private static let runsPerEvent = 16

    /// Whether to look after the next step.
    var isDue: Bool { runs <= AuditPace.fewRuns || events >= runs / AuditPace.runsPerEvent }

    /// Notes the events of a step, and the runs of a look.
    mutating func note(events count: Int, runs: Int?) {
        events += count
        guard let runs else { return }
        (self.runs, events) = (runs, 0)
    }
}

import Custody
import CustodyPolicy
import CustodyScenario

/// A scenario's report as `custody run` shows it: a row for each step, and the ownership in the end.
struct Timeline {
    private let report: ScenarioReport
    private let backend: String
    private let showsEvents: Bool

    init(_ report: ScenarioReport, backend: String, events: Bool) {
        self.report = report
        self.backend = backend
        showsEvents = events
    }

    var text: String {
        var lines = ["\(report.scenario.name), on \(backend)", ""]
        var table = TextTable(["", "time", "who", "does", "where", "ownership", "outcome", "took", "held by"])
        for step in report.steps {
            table.add([
                step.failure == nil ? "✓" : "✗",
                step.began.since(.zero).text,
                step.actor,
                step.deed,
                step.range.map { "\($0.address) +\(ByteCount($0.byteCount))" } ?? "",
                step.change ?? "",
                step.outcome,
                step.ended > step.began ? step.ended.since(step.began).text : "",
                step.heldBy.map { "\($0.holder)" }.joined(separator: "; "),
            ])
        }
        lines += table.lines
        if showsEvents { lines += ["", "events"] + report.events.map { "  \($0.time.since(.zero).text)  \($0.kind)" } }
        lines += ["", "ownership in the end"]
        for run in report.ownership { lines.append("  \(run.range)  \(run.state)") }
        lines.append("")
        let failures = report.steps.filter { $0.failure != nil }
        for step in failures {
            lines.append("\(step.step.location): \(step.actor) \(step.deed): \(step.failure ?? "")")
        }
        for ticket in report.forgotten { lines.append("hand-over \(ticket) has not ended, and nobody holds it up") }
        if let broken = report.broken { lines.append("after the last step: \(broken)") }
        let missing = report.scenario.steps.count - report.steps.count
        if missing > 0 { lines.append("\(missing) steps could not be played: the guest is gone") }
        lines.append(
            report.isAsExpected
                ? "all \(report.steps.count) steps as expected"
                : "\(failures.count) of \(report.steps.count) steps not as expected"
        )
        return lines.map(\.printable).joined(separator: "\n")
    }
}

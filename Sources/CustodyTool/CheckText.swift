import CustodyChecker
import CustodyProtocols
import Foundation

/// The report on one configuration as `custody check` shows it.
struct CheckText {
    private let report: Report
    private let showsCounterexamples: Bool

    init(_ report: Report, showsCounterexamples: Bool) {
        self.report = report
        self.showsCounterexamples = showsCounterexamples
    }

    var text: String {
        var lines = ["\(report.configuration.handover.name): \(report.configuration.name)", ""]
        var table = TextTable(["property", "verdict"])
        for (property, verdict) in report.verdicts { table.add([property.rawValue, verdict.text]) }
        lines += table.lines + ["", CheckText.cost(report)]
        if showsCounterexamples {
            for (_, verdict) in report.verdicts {
                if let counterexample = verdict.counterexample { lines += ["", counterexample.text] }
            }
            while lines.last?.last == "\n" { lines[lines.count - 1].removeLast() }
        }
        return lines.joined(separator: "\n")
    }

    /// What the exploration cost.
    static func cost(_ report: Report) -> String {
        let rate = report.seconds > 0 ? Double(report.states) / report.seconds : 0
        return "\(report.states) states, \(report.transitions) transitions, depth \(report.depth), "
            + String(format: "%.3f s, %.2f million states/s, ", report.seconds, rate / 1e6)
            + String(format: "%.0f bytes a state", report.bytesPerState)
    }
}

import CustodyChecker
import CustodyProtocols
import Foundation

/// The suite, explored: a row for each set of actors, a column for each protocol.
struct SuiteTable {
    private let protocols: [HandoverProtocol]
    private let checker: Checker

    init(protocols: [HandoverProtocol], _ checker: Checker) {
        self.protocols = protocols
        self.checker = checker
    }

    /// Explores, prints, and says how it ended.
    func print(_ markdown: Bool) -> CheckOutcome {
        var outcome = CheckOutcome.holds
        var names: [String] = []
        var cells: [String: [String: String]] = [:]
        var (states, transitions, seconds, bytes) = (0, 0, 0.0, 0.0)
        for handover in protocols {
            for configuration in Suite.configurations(for: handover) {
                let report = checker.check(configuration)
                if !names.contains(configuration.name) { names.append(configuration.name) }
                cells[configuration.name, default: [:]][handover.name] = cell(report)
                outcome = outcome.and(CheckOutcome(report))
                states += report.states
                transitions += report.transitions
                seconds += report.seconds
                bytes += report.bytesPerState * Double(report.states)
            }
        }
        let headings = ["actors"] + protocols.map(\.name)
        let rows = names.map { name in [name] + protocols.map { cells[name]?[$0.name] ?? "–" } }
        if markdown {
            for row in [headings, headings.map { _ in "---" }] + rows {
                Swift.print("| " + row.joined(separator: " | ") + " |")
            }
        } else {
            var table = TextTable(headings)
            for row in rows { table.add(row) }
            Swift.print(table.lines.joined(separator: "\n"))
            Swift.print(
                "\n\(states) states, \(transitions) transitions, "
                    + String(format: "%.2f s, %.2f million states/s, ", seconds, Double(states) / seconds / 1e6)
                    + String(format: "%.0f bytes a state", bytes / Double(max(states, 1)))
            )
        }
        return outcome
    }

    /// The verdict on a configuration: proved, the properties that do not hold with the lengths of the shortest
    /// counterexamples, or the bound.
    private func cell(_ report: Report) -> String {
        let broken = report.verdicts.compactMap { property, verdict in
            verdict.counterexample.map { "\(property.rawValue) (\($0.entries.count))" }
        }
        if !broken.isEmpty { return broken.joined(separator: ", ") }
        return report.bound?.text ?? "proved"
    }
}

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
    func print(_ markdown: Bool) throws -> CheckOutcome {
        var outcome = CheckOutcome.holds
        var names: [String] = []
        var cells: [String: [String: [String]]] = [:]
        var (states, transitions, seconds, bytes) = (0, 0, 0.0, 0.0)
        for handover in protocols {
            for configuration in Suite.configurations(for: handover) {
                let report = checker.check(configuration)
                if !names.contains(configuration.name) { names.append(configuration.name) }
                cells[configuration.name, default: [:]][handover.name] = verdict(report)
                outcome = outcome.and(CheckOutcome(report))
                states += report.states
                transitions += report.transitions
                seconds += report.seconds
                bytes += report.bytesPerState * Double(report.states)
            }
        }
        if markdown {
            let headings = ["actors"] + protocols.map(\.name)
            let rows = names.map { name in
                [name] + protocols.map { cells[name]?[$0.name]?.joined(separator: "<br>") ?? "–" }
            }
            for row in [headings, headings.map { _ in "---" }] + rows {
                try StandardOutput.print("| " + row.joined(separator: " | ") + " |")
            }
            return outcome
        }
        var table = TextTable(["protocol", "actors", "verdict"])
        for handover in protocols {
            for name in names {
                guard let verdict = cells[name]?[handover.name] else { continue }
                table.add([handover.name, name, verdict.joined(separator: ", ")])
            }
        }
        try StandardOutput.print(table.lines.joined(separator: "\n"))
        let cost = String(format: "%.2f s, %.2f million states/s, ", seconds, Double(states) / seconds / 1e6)
        let size = String(format: "%.0f bytes a state", bytes / Double(max(states, 1)))
        try StandardOutput.print("\n\(states) states, \(transitions) transitions, \(cost)\(size)")
        return outcome
    }

    /// The verdict on a configuration: proved, the properties that do not hold with the lengths of their
    /// counterexamples, or the bound that was hit.
    private func verdict(_ report: Report) -> [String] {
        let broken = report.verdicts.compactMap { property, verdict in
            verdict.counterexample.map { "\(property.rawValue) (\($0.lengthText))" }
        }
        if !broken.isEmpty { return broken }
        return [report.bound.map { "bound hit: \($0.text)" } ?? "proved for the bound"]
    }
}

import CustodyChecker
import CustodyProtocols
import Foundation

/// The planted defects, and what became of each.
struct MutationTable {
    /// Plants them all, prints a row for each, and says how it ended: a defect that survives counts as a violation.
    func print(_ markdown: Bool) throws -> CheckOutcome {
        let trial = MutationTrial(.custody)
        var rows: [[String]] = []
        var (killed, equivalent, survivors) = (0, 0, 0)
        for mutation in Mutation.all {
            switch trial.fate(of: mutation) {
            case .killed(let property, let set, let steps):
                killed += 1
                rows.append([mutation.text, "killed", "\(property.rawValue) (\(set), \(steps) steps)"])
            case .equivalent(let ends):
                equivalent += 1
                rows.append([
                    mutation.text, "equivalent", "every property holds and it ends in the same \(ends) worlds",
                ])
            case .survives(let set):
                survivors += 1
                rows.append([mutation.text, "SURVIVES", "something ends differently in ‘\(set)’"])
            }
        }
        let headings = ["mutation of \(HandoverProtocol.custody.name)", "fate", "by"]
        if markdown {
            for row in [headings, headings.map { _ in "---" }] + rows {
                try StandardOutput.print("| " + row.joined(separator: " | ") + " |")
            }
        } else {
            var table = TextTable(headings)
            for row in rows { table.add(row) }
            try StandardOutput.print(table.lines.joined(separator: "\n"))
        }
        let rate = Double(killed) / Double(max(1, killed + survivors)) * 100
        try StandardOutput.print(
            "\n\(rows.count) mutations: \(killed) killed, \(equivalent) equivalent, \(survivors) survive; "
                + String(format: "%.0f %% of those that are not equivalent were killed", rate)
        )
        return survivors == 0 ? .holds : .isViolated
    }
}

import CustodyChecker
import CustodyProtocols

/// A question with its claims and what exploration says of each.
struct QuestionText {
    private let question: Question
    private let rows: [[String]]
    private let counterexamples: [Counterexample]

    /// Settles `question`; each claim explores at most `maximumStates` states.
    init(_ question: Question, _ maximumStates: Int) {
        self.question = question
        var rows: [[String]] = []
        var counterexamples: [Counterexample] = []
        for claim in question.claims {
            let checker = Checker(maximumStates: maximumStates, properties: [claim.property])
            let verdict = checker.check(claim.configuration)[claim.property] ?? .proved
            let isTrue = verdict.isProved ? "true" : verdict.counterexample == nil ? "open" : "false"
            let name = claim.configuration.handover.name
            rows.append([claim.sentence, isTrue, verdict.text, claim.property.rawValue, name, claim.configuration.name])
            if let counterexample = verdict.counterexample { counterexamples.append(counterexample) }
        }
        self.rows = rows
        self.counterexamples = counterexamples
    }

    func text(_ markdown: Bool) -> String {
        let headings = ["claim", "is", "verdict", "property", "protocol", "actors"]
        let source = question.source.map { "Asked by: \($0)." } ?? "Nobody asked."
        guard markdown else {
            var table = TextTable(headings)
            for row in rows { table.add(row) }
            var lines = table.lines
            if !question.retries.isEmpty {
                var again = TextTable(QuestionText.retryHeadings)
                for row in retries { again.add(row) }
                lines += [""] + again.lines
            }
            return "\(question.name)\n\(question.prose)\n\(source)\n\n\(lines.joined(separator: "\n"))\n"
        }
        var lines = ["### \(question.name)", "", question.prose, "", source, ""]
        for row in [headings, headings.map { _ in "---" }] + rows {
            lines.append("| \(row.joined(separator: " | ")) |")
        }
        if !question.retries.isEmpty {
            lines.append("")
            for row in [QuestionText.retryHeadings, QuestionText.retryHeadings.map { _ in "---" }] + retries {
                lines.append("| \(row.joined(separator: " | ")) |")
            }
        }
        for counterexample in counterexamples {
            let name = "\(counterexample.handover.name), \(counterexample.configuration.name)"
            lines += [
                "", "<details><summary>\(name): \(counterexample.property.rawValue)</summary>", "", "```",
                trimmed(counterexample.text), "```", "</details>",
            ]
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static let retryHeadings = [
        "a caller that asks again, against", "is refused for ever while the others do not move",
        "attempts that suffice, each after a reference was dropped",
    ]

    /// How often the caller can be refused.
    private var retries: [[String]] {
        question.retries.map { configuration in
            guard let analysis = RetryAnalysis(configuration) else { return [configuration.name, "open", "open"] }
            return [configuration.name, analysis.starves ? "yes" : "no", "\(analysis.sufficientAttempts)"]
        }
    }

    /// Without blanks at the ends of lines, and without the last line break.
    private func trimmed(_ text: String) -> String {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            String(line.reversed().drop { $0 == " " }.reversed())
        }
        while lines.last?.isEmpty == true { lines.removeLast() }
        return lines.joined(separator: "\n")
    }
}

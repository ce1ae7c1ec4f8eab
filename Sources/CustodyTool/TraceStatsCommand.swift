import ArgumentParser
import Custody
import CustodyTrace

/// `custody trace stats`: what a trace comes to.
struct TraceStatsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats",
        abstract: "Count what is in a trace: requests, rules, how long hand-overs took, and who held them up."
    )

    @Argument(help: "The trace.")
    var file: String

    func run() throws {
        try ExitCode.reporting {
            var reader = try TraceReader(file)
            var statistics = TraceStatistics()
            while let line = try reader.next() { statistics.add(line) }
            TraceCommand.reportNote(reader.gap)
            TraceCommand.reportNote(reader.tornLine)
            try print(text(statistics))
        }
    }

    private func text(_ statistics: TraceStatistics) -> String {
        var lines = ["traces: \(statistics.traces), over \(statistics.span.text)"]
        if statistics.dropped > 0 { lines.append("events that are missing: \(statistics.dropped)") }
        func section(_ heading: String, _ table: TextTable, isEmpty: Bool) {
            lines += ["", heading] + (isEmpty ? ["  none"] : table.lines.map { "  \($0)" })
        }
        var events = TextTable(["event", "lines"])
        for name in TraceEvent.names {
            if let count = statistics.events[name] { events.add([name, "\(count)"]) }
        }
        section("events", events, isEmpty: statistics.events.isEmpty)
        var requests = TextTable(["requester", "requests"])
        for (requester, count) in statistics.requests.sorted(by: { "\($0.key)" < "\($1.key)" }) {
            requests.add(["\(requester)", "\(count)"])
        }
        section("requests", requests, isEmpty: statistics.requests.isEmpty)
        var pages = TextTable(["became", "pages", "bytes"])
        for ownership in Ownership.allCases {
            guard let count = statistics.pages[ownership] else { continue }
            pages.add(["\(ownership)", "\(count)", ByteCount.text(ofPages: count)])
        }
        section("pages that changed hands", pages, isEmpty: statistics.pages.isEmpty)
        var rules = TextTable(["rule", "said", "times"])
        for (hit, count) in statistics.hits.sorted(by: { name($0.key) < name($1.key) }) {
            rules.add([hit.rule ?? "—", hit.verdict.rawValue, "\(count)"])
        }
        section("rules", rules, isEmpty: statistics.hits.isEmpty)
        var latencies = TextTable(["to", "", "ended", "number", "least", "median", "99 %", "most"])
        for (way, sample) in statistics.latencies.sorted(by: { name($0.key) < name($1.key) }) {
            let kind = way.wasPending ? "hand-over" : "at once"
            latencies.add(["\(way.target)", kind, way.outcome, "\(sample.count)"] + figures(sample))
        }
        section("from a request to its end", latencies, isEmpty: statistics.latencies.isEmpty)
        var holders = TextTable(["held up by", "hand-overs", "in all", "least", "median", "99 %", "most"])
        for (holder, sample) in statistics.waits.sorted(by: { "\($0.key)" < "\($1.key)" }) {
            holders.add(["\(holder)", "\(sample.count)", sample.sum.text] + figures(sample))
        }
        section("who held hand-overs up", holders, isEmpty: statistics.waits.isEmpty)
        return lines.map(\.printable).joined(separator: "\n")
    }

    private func figures(_ sample: DurationSample) -> [String] {
        [0, 50, 99, 100].map { sample.percentile($0).text }
    }

    private func name(_ hit: TraceStatistics.Hit) -> String { "\(hit.rule ?? "") \(hit.verdict.rawValue)" }
    private func name(_ way: TraceStatistics.Way) -> String { "\(way.target) \(way.wasPending) \(way.outcome)" }
}

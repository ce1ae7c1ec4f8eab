import Custody
import CustodyPolicy
import CustodyTrace
import FoundationEssentials
import SimulationBackend

/// Events for an oracle of a guest of 16 shared pages from page 512 on, as the lines of a trace have them.
struct OracleScript {
    /// A request as text.
    struct Request {
        var first = 0
        var count = 4
        var target = "private"
        var by = "{\"guest\":0}"
        var contents = "any"
        var prefix: (runs: Int, pages: Int)?
        var deadline: Int?

        var text: String {
            var text = "{\"contents\":\"\(contents)\",\"range\":\(OracleScript.range(first, count))"
            text += ",\"requester\":\(by),\"target\":\"\(target)\",\"whenHeld\":\"handOver\""
            if let prefix { text += ",\"prefix\":{\"pages\":\(prefix.pages),\"runs\":\(prefix.runs)}" }
            if let deadline { text += ",\"deadline\":\(deadline)" }
            return text + "}"
        }

        /// The request, and that it is allowed.
        var allowed: [String] { [requested, decided("allow")] }

        var requested: String { "\"requested\":{\"request\":\(text)}" }

        func decided(_ verdict: String) -> String {
            "\"decided\":{\"decision\":{\"verdict\":\"\(verdict)\"},\"request\":\(text)}"
        }

        func failed(_ code: String, pages: String? = nil) -> String {
            let place = pages.map { ",\"range\":\($0)" } ?? ""
            return "\"failed\":{\"error\":{\"code\":\"\(code)\",\"message\":\"no\"\(place)},\"request\":\(text)}"
        }

        func answered(
            _ status: String,
            changed: Int = 0,
            contents: String = "preserved",
            stoppedAt: Int? = nil,
            ticket: String? = nil,
            blockers: String? = nil
        ) -> String {
            var outcome = "{\"changedPages\":\(changed),\"contents\":\"\(contents)\""
            outcome += ",\"range\":\(OracleScript.range(first, count)),\"status\":\"\(status)\""
            if let stoppedAt { outcome += ",\"stoppedAt\":\(512 + stoppedAt)" }
            if let ticket { outcome += ",\"ticket\":\(ticket)" }
            if let blockers { outcome += ",\"blockers\":[\(blockers)]" }
            return "\"answered\":{\"outcome\":\(outcome)},\"request\":\(text)}"
        }

        func ticket(_ id: Int) -> String {
            let end = deadline.map { ",\"deadline\":\($0)" } ?? ""
            return "{\"id\":\(id),\"range\":\(OracleScript.range(first, count)),\"since\":0"
                + ",\"target\":\"\(target)\"\(end)}"
        }

        /// It waits for the lease of its first page, unless others are named.
        func pending(_ id: Int, blockers: String? = nil) -> String {
            answered(
                "pending",
                stoppedAt: first,
                ticket: ticket(id),
                blockers: blockers ?? OracleScript.blocker(first)
            )
        }

        func settled(_ id: Int, _ result: String) -> String {
            "\"settled\":{\"result\":{\(result)},\"ticket\":\(ticket(id))}"
        }
    }

    static func range(_ first: Int, _ count: Int) -> String { "{\"count\":\(count),\"page\":\(512 + first)}" }

    static func step(
        _ name: String,
        _ first: Int,
        _ count: Int,
        from: String = "shared",
        to: String = "private",
        by: String = "guest",
        contents: String? = nil
    ) -> String {
        let change =
            "{\"from\":\"\(from)\",\"initiator\":\"\(by)\",\"range\":\(range(first, count)),\"to\":\"\(to)\"}"
        return "\"\(name)\":{\"change\":\(change)" + (contents.map { ",\"contents\":\"\($0)\"" } ?? "") + "}"
    }

    static func finished(_ first: Int, _ count: Int, _ contents: String = "zeroed") -> String {
        step("finished", first, count, contents: contents)
    }

    static func lease(_ name: String, _ id: Int, _ first: Int) -> String {
        "\"\(name)\":{\"lease\":{\"holder\":{\"device\":\"nic\"},\"id\":\(id),\"kind\":\"pin\",\"range\":\(range(first, 1))}}"
    }

    /// The lease of a page as an answer names it.
    static func blocker(_ first: Int, by device: String = "nic", kind: String = "pin", since: Int = 0) -> String {
        "{\"holder\":{\"device\":\"\(device)\"},\"kind\":\"\(kind)\",\"range\":\(range(first, 1)),\"since\":\(since)}"
    }

    static func discarded(_ first: Int, _ count: Int) -> String { "\"discarded\":{\"range\":\(range(first, count))}" }

    static func malformed(_ byteCount: Int) -> String {
        let request = "{\"address\":2097152,\"byteCount\":\(byteCount),\"processor\":0,\"target\":\"private\"}"
        return "\"malformed\":{\"error\":\"no\",\"request\":\(request)}"
    }

    /// The ownership in the end: shared, but for some pages.
    static func closed(_ first: Int, _ count: Int, _ ownership: String) -> String {
        let runs = [(0, first, "shared"), (first, count, ownership), (first + count, 16 - first - count, "shared")]
            .filter { $0.1 > 0 }
            .map { "{\"range\":\(range($0.0, $0.1)),\"state\":\"\($0.2)\"}" }
        return "\"closed\":{\"ownership\":[\(runs.joined(separator: ","))]}"
    }

    /// A conversion of shared pages to private ones, from its request to its answer.
    static func conversion(_ first: Int, _ count: Int) -> [String] {
        let request = Request(first: first, count: count)
        return request.allowed + [
            step("prepared", first, count), step("committed", first, count), finished(first, count),
            request.answered("completed", changed: count, contents: "zeroed"),
        ]
    }

    /// Has an oracle take events, of one thread unless they begin with a number, each a nanosecond after the one before.
    ///
    /// - Returns: the first violation, with the index of its event.
    static func judge(
        _ events: [String],
        limits: ControllerLimits? = nil
    ) throws -> (violation: OracleViolation, index: Int)? {
        var oracle = try oracle(limits)
        for (index, event) in events.enumerated() {
            do throws(OracleViolation) { try oracle.apply(record(event, index)) } catch { return (error, index) }
        }
        return nil
    }

    static func oracle(_ limits: ControllerLimits? = nil) throws -> Oracle {
        let backend = try TraceFixture.backend()
        return Oracle(backend.layout, backend.capabilities, ownership: backend.initialOwnership, limits: limits)
    }

    static func record(_ event: String, _ index: Int, thread: Int = 1) -> TraceRecord {
        let step = event.hasPrefix("\"closed\"") ? "" : "\"seq\":\(index + 1),"
        let line = "{\"n\":\(index + 1),\(step)\"t\":\(index),\"thread\":\(thread),\(event)}"
        do { return try JSONDecoder().decode(TraceRecord.self, from: Data(line.utf8)) } catch {
            return TraceRecord(number: 1, sequence: nil, time: .zero, thread: 1, .dropped(count: 1))
        }
    }
}

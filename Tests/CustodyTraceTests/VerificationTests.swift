import Custody
import CustodyTestSupport
import CustodyTrace
import SimulationBackend
import Testing

/// A line that was changed, left out or added is found.
@Suite struct VerificationTests: ~Copyable {
    let fixture: TraceFixture

    init() throws { fixture = try TraceFixture() }

    @Test func aLineThatIsLeftOutOrStandsTwiceIsFound() throws {
        try fixture.record()
        let lines = try fixture.lines()
        for index in 1..<(lines.count - 1) {
            var without = lines
            without.remove(at: index)
            try fixture.write(without)
            #expect(try TraceFixture.verify(fixture.path()).error?.line == index + 1)
            var twice = lines
            twice.insert(lines[index], at: index)
            try fixture.write(twice)
            #expect(try TraceFixture.verify(fixture.path()).error?.line == index + 2)
        }
    }

    /// Left out, and the numbers made to fit: what happened before and after does not fit.
    @Test func aStepThatIsHiddenIsFound() throws {
        try fixture.record()
        let lines = try fixture.lines()
        for name in ["requested", "prepared", "committed", "finished", "answered", "leased", "closed"] {
            let index = try #require(lines.dropFirst().firstIndex { $0.contains("\"\(name)\":{") })
            var hidden = lines
            hidden.remove(at: index)
            for later in index..<hidden.count {
                hidden[later] = hidden[later].replacing("\"n\":\(later + 1)", with: "\"n\":\(later)")
            }
            try fixture.write(hidden)
            let error = try TraceFixture.verify(fixture.path()).error
            #expect(error != nil, "\(name) was left out")
            #expect((error?.line ?? 0) >= index)
        }
    }

    @Test(arguments: [
        ("\"to\":\"private\"", "\"to\":\"host\""), ("\"from\":\"shared\"", "\"from\":\"private\""),
        ("\"changedPages\":4", "\"changedPages\":5"), ("\"verdict\":\"deny\"", "\"verdict\":\"allow\""),
        ("\"result\":{\"cancelled\":{}}", "\"result\":{\"completed\":{\"contents\":\"zeroed\"}}"),
        ("\"result\":{\"expired\":{}}", "\"result\":{\"completed\":{\"contents\":\"zeroed\"}}"),
        ("\"result\":{\"cancelled\":{}}", "\"result\":{\"expired\":{}}"),
        ("\"status\":\"completed\"", "\"status\":\"deferred\""),
        ("\"released\":{\"lease\":{\"", "\"leased\":{\"lease\":{\""),
        ("\"code\":\"notOwned\"", "\"code\":\"inTransit\""), ("\"code\":\"backend\"", "\"code\":\"denied\""),
        ("\"state\":\"shared\"}]}", "\"state\":\"host\"}]}"),
    ])
    func aLineThatWasChangedIsFound(change: (String, String)) throws {
        try fixture.record()
        var lines = try fixture.lines()
        let index = try #require(lines.dropFirst().firstIndex { $0.contains(change.0) }, "\(change.0) is in no line")
        lines[index] = lines[index].replacing(change.0, with: change.1)
        try fixture.write(lines)
        let report = try TraceFixture.verify(fixture.path())
        #expect((report.error?.line ?? 0) > index, "\(change): \(report)")
    }

    /// The writer's own lines have the latest time that it knows.
    @Test func aTimeThatGoesBackIsFound() throws {
        try fixture.record()
        let lines = try fixture.lines()
        let end = try #require(lines.last).replacing(/"t":[0-9]+/, with: "\"t\":0")
        try fixture.write(lines.dropLast() + [end])
        let report = try TraceFixture.verify(fixture.path())
        #expect(report.error?.message == "time runs backwards" && report.isTrace)
        #expect(report.error?.line == lines.count)
    }

    /// A line that cannot follow is one thing, and one that is none of a trace is another.
    @Test func aLineOfNoTraceIsToldApart() throws {
        try fixture.record()
        let lines = try fixture.lines()
        let index = try #require(lines.firstIndex { $0.contains("\"verdict\":\"allow\"") })
        for (word, isTrace) in [("deny", true), ("defer", false)] {
            var wrong = lines
            wrong[index] = wrong[index].replacing("\"verdict\":\"allow\"", with: "\"verdict\":\"\(word)\"")
            try fixture.write(wrong)
            let report = try TraceFixture.verify(fixture.path())
            #expect(report.error != nil && report.isTrace == isTrace, "\(report)")
        }
    }

    @Test func aTraceWithoutItsEndIsFoundUnlessItMayBeOpen() throws {
        try fixture.record()
        try fixture.write(try fixture.lines().dropLast())
        #expect(try TraceFixture.verify(fixture.path()).error?.message.contains("has no end") == true)
        #expect(try TraceFixture.verify(fixture.path(), acceptsOpenEnd: true).error == nil)
    }

    /// What a thread had done and not said yet when the trace was cut is missing, and the others cannot be held against it.
    @Test func aTraceThatWasCutIsJudgedAsFarAsItGoes() throws {
        try fixture.record()
        var lines = try fixture.lines().dropLast() as [String]
        let leased = try #require(lines.firstIndex { $0.contains("\"leased\":{") })
        lines.remove(at: leased)
        for index in leased..<lines.count {
            lines[index] = lines[index].replacing("\"n\":\(index + 1)", with: "\"n\":\(index)")
        }
        try fixture.write(lines)
        let alone = try TraceFixture.verify(fixture.path(), acceptsOpenEnd: true)
        let error = try #require(alone.error)
        #expect(alone.notes == [])
        lines[lines.count - 1] = try #require(lines.last).replacing("\"thread\":1", with: "\"thread\":2")
        try fixture.write(lines)
        let cut = try TraceFixture.verify(fixture.path(), acceptsOpenEnd: true)
        #expect(cut.error == nil)
        #expect(cut.notes.map(\.line) == [error.line])
        #expect(cut.notes.map(\.message) == ["what is missing may be the reason: \(error.message)"])
        #expect(cut.lines == UInt64(try #require(error.line)) - 2)
        #expect(try TraceFixture.verify(fixture.path()).error?.message.contains("has no end") == true)
        // What does not fit its own request nobody else can explain.
        for (from, to) in [
            ("\"changedPages\":4", "\"changedPages\":5"), ("\"verdict\":\"allow\"", "\"verdict\":\"deny\""),
        ] {
            let index = try #require(lines.firstIndex { $0.contains(from) })
            var wrong = lines
            wrong[index] = wrong[index].replacing(from, with: to)
            try fixture.write(wrong)
            let report = try TraceFixture.verify(fixture.path(), acceptsOpenEnd: true)
            #expect((report.error?.line ?? 0) > index, "\(report)")
        }
    }

    /// A page that is refused as in transit is: nobody takes it before it has been said why.
    @Test func aRefusalThatNothingExplainsIsFound() throws {
        try fixture.record()
        let lines = try fixture.lines()
        let index = try #require(lines.firstIndex { $0.contains("\"code\":\"notOwned\"") })
        var wrong = lines
        wrong[index] = wrong[index].replacing("notOwned", with: "inTransit")
        try fixture.write(wrong)
        let text = "line \(index) of the trace has the page at 0x200000 in transit, and nobody was at it"
        #expect(try TraceFixture.verify(fixture.path()).error?.message.hasSuffix(text) == true)
        try fixture.write(wrong.dropLast())
        #expect(try TraceFixture.verify(fixture.path(), acceptsOpenEnd: true).error?.message.hasSuffix(text) == true)
    }

    @Test func aStepHasOneThread() throws {
        try fixture.record()
        var lines = try fixture.lines()
        let answered = try #require(lines.firstIndex { $0.contains("\"finished\":{") }) + 1
        lines[answered] = lines[answered].replacing("\"thread\":1", with: "\"thread\":2")
        try fixture.write(lines)
        let error = try TraceFixture.verify(fixture.path()).error
        #expect(error?.line == answered + 1)
        #expect(error?.message.hasSuffix("was taken by thread 1") == true)
    }

    /// Lines that stand where their threads came to them, and out of which the order of the steps is made again.
    @Test func linesAreTakenInTheOrderOfTheirSteps() throws {
        var random = SplitMix64(seed: Seed.value())
        var steps: [UInt64] = []
        var late: [UInt64] = []
        for step in 1...5_000 as ClosedRange<UInt64> {
            if random.next() % 4 == 0 { late.append(step) } else { steps += [step, step] }
            if random.next() % 32 == 0 {
                steps += late.shuffled(using: &random)
                late = []
            }
        }
        steps += late
        var order = TraceOrder()
        var ordered: [TraceRecord] = []
        for (index, step) in steps.enumerated() {
            if let due = try order.add(entry(index + 1, step)) { ordered.append(due.record) }
        }
        while let due = order.next() { ordered.append(due.record) }
        #expect(ordered.map(\.sequence) == steps.sorted())
        #expect(zip(ordered, ordered.dropFirst()).allSatisfy { $0.sequence != $1.sequence || $0.number < $1.number })
    }

    @Test func aLineThatComesFarTooLateIsAnError() throws {
        var order = TraceOrder()
        for step in 2...TraceOrder.window + 1 { #expect(try order.add(entry(step - 1, UInt64(step)))?.record == nil) }
        var first = order
        #expect(try first.add(entry(TraceOrder.window + 1, 1))?.record.sequence == 1)
        #expect(try order.add(entry(TraceOrder.window + 1, 1 << 20))?.record.sequence == 2)
        let error = #expect(throws: TraceError.self) { _ = try order.add(entry(TraceOrder.window + 2, 1)) }
        #expect(error?.message == "the line stands more than 65536 lines after its place")
        #expect(error?.line == TraceOrder.window + 3)
    }

    private func entry(_ number: Int, _ sequence: UInt64) -> Trace.Entry {
        let record = TraceRecord(
            number: UInt64(number),
            sequence: sequence,
            time: .zero,
            thread: 1,
            .marked(name: "\(number)")
        )
        return Trace.Entry(record: record, file: "trace.jsonl", line: number + 1)
    }
}

import Custody
import CustodyTrace
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

    @Test func aTraceWithoutItsEndIsFoundUnlessItMayBeOpen() throws {
        try fixture.record()
        try fixture.write(try fixture.lines().dropLast())
        #expect(try TraceFixture.verify(fixture.path()).error?.message.contains("has no end") == true)
        #expect(try TraceFixture.verify(fixture.path(), acceptsOpenEnd: true).error == nil)
    }
}

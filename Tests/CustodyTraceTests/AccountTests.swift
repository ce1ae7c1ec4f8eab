import Custody
import CustodyTrace
import Testing

/// A trace up to a line or a time comes to what was so then.
@Suite struct AccountTests: ~Copyable {
    let fixture: TraceFixture

    init() throws { fixture = try TraceFixture() }

    private func account(until time: Duration? = nil, line: Int? = nil) throws -> (
        runs: [PageRun<Ownership>], last: Int?
    ) {
        var account = try TraceAccount(fixture.path(), until: time, line: line)
        try account.read()
        return (account.model.runs, account.last?.line)
    }

    private func place(of text: String, in lines: [String]) throws -> Int {
        try #require(lines.firstIndex { $0.contains(text) }) + 1
    }

    @Test func itEndsWithTheLine() throws {
        try fixture.record()
        let lines = try fixture.lines()
        let answered = try place(of: "\"answered\":{", in: lines)
        let prepared = try place(of: "\"prepared\":{", in: lines)
        #expect(try account(line: 1).last == nil)
        #expect(try account(line: 1).runs.map(\.state) == [.shared])
        for line in 2...lines.count { #expect(try account(line: line).last == line) }
        #expect(try account(line: prepared).runs.map(\.state) == [.inTransit, .shared])
        #expect(try account(line: answered).runs.map(\.state) == [.private, .shared])
        #expect(try account(line: answered).runs[0].range == TraceFixture.range(0, 4))
        #expect(try account(line: 10_000).last == lines.count)
        // What is wrong behind the line is nobody's business here.
        try fixture.write(Array(lines[..<(answered + 1)]) + ["{}"])
        #expect(try account(line: answered).last == answered)
        #expect(throws: TraceError.self) { _ = try account() }
    }

    /// A line that was told late, because its thread was held up, is before those of later steps that were told in time.
    @Test func whatWasToldLateTookEffectBefore() throws {
        try fixture.record()
        var lines = try fixture.lines()
        let answered = try place(of: "\"answered\":{", in: lines)
        let all = try account().runs
        for line in 2...answered {
            lines[line - 1] = lines[line - 1].replacing(/"t":\d+/, with: "\"t\":5000000000")
        }
        try fixture.write(lines)
        #expect(try account(until: .seconds(1)).last == lines.count)
        #expect(try account(until: .seconds(1)).runs == all)
        // Where nothing later was told by then, it had not begun.
        try fixture.write(Array(lines[..<answered]))
        #expect(try account(until: .seconds(1)).last == nil)
        #expect(try account(until: .seconds(5)).last == answered)
    }

    /// Of several traces in a file, each with times from zero, the first that goes on after the time.
    @Test func theTraceIsTheOneThatTheTimeIsIn() throws {
        try fixture.record()
        let first = try fixture.lines()
        try fixture.record()
        let both = try fixture.lines()
        #expect(both.count == 2 * first.count)
        let last = try #require(try account(until: .microseconds(1)).last)
        #expect(last < first.count)
        #expect(try account().last == both.count)
        #expect(try account(line: first.count + 1).last == nil)
        #expect(try account(line: first.count + 2).last == first.count + 2)
    }
}

import Testing

/// What the commands say of traces and snapshots that are not as they are written.
@Suite(.timeLimit(.minutes(60))) struct TraceFileTests: ~Copyable {
    let fixture: ToolFixture

    init() throws { fixture = try ToolFixture() }

    private func marked(_ number: Int) -> String {
        #"{"n":\#(number),"seq":\#(number),"t":0,"thread":1,"marked":{"name":"a"}}"# + "\n"
    }

    private static let closed =
        #"{"n":1,"t":0,"thread":0,"closed":{"ownership":[{"range":{"count":16,"page":0},"state":"shared"}]}}"# + "\n"

    @Test(arguments: ["trace show", "trace stats", "trace verify --open", "map", "map --svg", "replay"])
    func everyReaderSaysThatALineIsTorn(command: String) throws {
        try fixture.write(ToolFixture.header(pages: 16) + marked(1) + #"{"n":2,"#, as: "torn.jsonl")
        let run = try fixture.run("custody \(command) torn.jsonl")
        #expect(run.code == 0, "\(run.errorText)")
        #expect(run.errorText == "torn.jsonl:3: note: the last line is torn, 7 bytes of it are skipped\n")
    }

    /// A trace that was cut by size, of which only the last file is there, or of which one is another trace's.
    @Test(arguments: [("trace show", 0), ("trace stats", 0), ("trace verify --open", 65), ("map", 65), ("replay", 65)])
    func everyReaderSaysThatAFileIsMissing(command: String, code: Int32) throws {
        let rest = ToolFixture.header(pages: 16, #""continues":2,"#) + marked(2)
        try fixture.write(rest, as: "t.jsonl")
        let run = try fixture.run("custody \(command) t.jsonl")
        #expect(run.code == code && run.errorText.contains("t.jsonl:1: \(code == 0 ? "note" : "error")"))
        #expect(run.errorText.contains("it was cut by size, and t.jsonl.1 is not there"), "\(run.errorText)")

        for (first, fits) in [
            (ToolFixture.header(pages: 16) + marked(1), true), (ToolFixture.header(pages: 16), false),
            (ToolFixture.header(pages: 16) + marked(1) + marked(2), false),
            (ToolFixture.header(pages: 15) + marked(1), false),
        ] {
            try fixture.write(first, as: "t.jsonl.1")
            let run = try fixture.run("custody \(command) t.jsonl")
            #expect((run.code == 0) == (fits || code == 0), "\(run.errorText)")
            #expect(run.errorText.contains("does not go on where the one before it ends") != fits, "\(run.errorText)")
        }
    }

    @Test func aPictureSaysWhoAskedForAHandOver() throws {
        let ticket = #"{"id":1,"range":{"count":1,"page":4},"since":0,"target":"private"}"#
        let request =
            #""request":{"contents":"any","range":{"count":1,"page":4},"requester":{"guest":0},"#
            + #""target":"private","whenHeld":"handOver"}"#
        let holder = #""holder":{"device":"nic"}"#
        let events = [
            #""leased":{"lease":{\#(holder),"id":1,"kind":"pin","range":{"count":1,"page":4}}}"#,
            #""requested":{\#(request)}"#, #""decided":{\#(request),"decision":{"verdict":"allow"}}"#,
            #""answered":{\#(request),"outcome":{"blockers":[{\#(holder),"kind":"pin","range":{"count":1,"page":4},"since":0}],"#
                + #""changedPages":0,"contents":"preserved","range":{"count":1,"page":4},"status":"pending","stoppedAt":4,"ticket":\#(ticket)}}"#,
        ]
        let lines = events.enumerated().map { index, event in
            #"{"n":\#(index + 1),"seq":\#(index + 1),"t":0,"thread":1,\#(event)}"# + "\n"
        }
        try fixture.write(ToolFixture.header(pages: 16) + lines.joined(), as: "t.jsonl")
        let run = try fixture.run("custody map t.jsonl")
        #expect(run.code == 0 && run.outputText.contains("to private by guest/vcpu0"), "\(run.errorText)")
    }

    private func header(_ rules: String) -> String {
        let text = rules.replacing("\"", with: "\\\"")
        return ToolFixture.header(pages: 16, #""configuration":"\#(text)","#)
    }

    @Test(arguments: ["32KiB", "64KiB}, {at: 1GiB, size: 4KiB"])
    func rulesOfAnotherGuestAreAnError(size: String) throws {
        let good = "guest: {memory: [{at: 0, size: 64KiB}]}"
        try fixture.write(header(good) + TraceFileTests.closed, as: "good.jsonl")
        for command in ["replay", "trace verify"] {
            let run = try fixture.run("custody \(command) good.jsonl")
            #expect(run.code == 0 && run.errors.isEmpty, "\(run.errorText)")
        }
        try fixture.write(
            header("guest: {memory: [{at: 0, size: \(size)}]}") + TraceFileTests.closed,
            as: "wrong.jsonl"
        )
        for command in ["replay", "trace verify"] {
            let run = try fixture.run("custody \(command) wrong.jsonl")
            #expect(run.code == 65, "\(run.errorText)")
            #expect(run.errorText.contains("wrong.jsonl:1: error: by the configuration in the header"))
        }
    }

    /// What the command line says wrong is not the trace's fault.
    @Test func aWrongBackEndIsNotTheTraces() throws {
        let rules = "guest: {memory: [{at: 0, size: 64KiB}]}"
        try fixture.write(header(rules) + TraceFileTests.closed, as: "t.jsonl")
        let unknown = try fixture.run("custody replay --backend simulaton t.jsonl")
        #expect(unknown.code == 64, "\(unknown.errorText)")
        #expect(unknown.errorText.hasPrefix("--backend: error: unknown back end ‘simulaton’; did you mean"))
        try fixture.write(header("backend: kvm\\n" + rules) + TraceFileTests.closed, as: "named.jsonl")
        let named = try fixture.run("custody replay named.jsonl")
        #expect(named.code == 78, "\(named.errorText)")
        let text = "the rules of a trace name no back end\n"
        #expect(named.errorText == "configuration in the header of named.jsonl:1:1: error: " + text)
        let verified = try fixture.run("custody trace verify named.jsonl")
        #expect(verified.code == 65, "\(verified.errorText)")
        #expect(
            verified.errorText == "named.jsonl:1: error: the configuration in the header is wrong at 1:1: " + text
        )
    }

    /// A word that a trace does not have is shown with those that it has, and the file is no trace for any reader.
    @Test(arguments: ["trace show", "trace stats", "trace verify", "map", "replay"])
    func aWordThatATraceDoesNotHaveIsNamed(command: String) throws {
        let made = try fixture.run("custody run --trace t.jsonl >/dev/null")
        #expect(made.code == 0, "\(made.errorText)")
        let text = try fixture.text("t.jsonl")
        for (part, other, message) in [
            (
                #""verdict":"allow""#, #""verdict":"alow""#,
                "unknown value ‘alow’; did you mean ‘allow’? (accepted: allow, clamp, later, deny) in ‘decided"
            ),
            (#""whenHeld":"handOver""#, #""whenHeld":"wait""#, "unknown value ‘wait’ (accepted: handOver, report) in"),
            (
                #""status":"completed""#, #""status":"done""#,
                "(accepted: completed, blocked, pending, deferred, stopped)"
            ),
            (
                #""to":"private""#, #""to":"prvate""#,
                "did you mean ‘private’? (accepted: shared, private, in-transit, host)"
            ),
            (#""kind":"pin""#, #""kind":"pn""#, "did you mean ‘pin’? (accepted: "),
            (#""dirtyLog":"none""#, #""dirtyLog":"no""#, "(accepted: none, bitmap, ring) in ‘capabilities.dirtyLog’"),
            (#""granularity":4096,"h"#, #""granularity":4097,"h"#, "unknown value ‘4097’"),
        ] {
            #expect(text.contains(part), "\(part)")
            try fixture.write(text.replacing(part, with: other), as: "wrong.jsonl")
            let run = try fixture.run("custody \(command) wrong.jsonl")
            #expect(run.code == 65 && run.errorText.contains(message), "\(run.errorText)")
            #expect(!run.errorText.contains("Cannot initialize"))
        }
    }

    /// What is wrong with a snapshot has its place, and nothing is passed over.
    @Test(arguments: [
        (#""version""#, #""verson""#, "unknown key ‘verson’; did you mean ‘version’?"),
        (#""leases":[]"#, #""leases":[],"leases":[]"#, "the key ‘leases’ stands twice"),
        (#""leases":[]"#, #""leases":[],"notes":[]"#, "unknown key ‘notes’"),
        (#""exposed""#, #""expozed""#, "unknown key ‘expozed’; did you mean ‘exposed’? in ‘tally’"),
        (#""leases":[]"#, #""leases":[1]"#, "expected an object, not ‘1’ in ‘leases[0]’"),
        (#""leases":[]"#, #""leases":[}"#, "this is not JSON: expected a value, not ‘}’"),
        (#""leases":[]"#, #""leases":["#, "this is not JSON: expected a value, not ‘,’"),
        (
            #""nextTicket":2"#, #""nextTicket":18446744073709551615"#,
            "the next hand-over has the number 18446744073709551615, which is not from 1 to 4611686018427387904"
        ),
        (#""host":0"#, #""host":1"#, "the tally is not that of the map in ‘tally’"),
    ])
    func whatIsWrongWithASnapshotHasItsPlace(part: String, other: String, message: String) throws {
        let made = try fixture.run("custody run --snapshot s.json >/dev/null")
        #expect(made.code == 0, "\(made.errorText)")
        // A key a line: what reads it reads any white space.
        let text = try fixture.text("s.json").replacing(",\"", with: ",\n\"")
        try fixture.write(text, as: "s.json")
        let whole = try fixture.run("custody map s.json")
        #expect(whole.code == 0, "\(whole.errorText)")
        #expect(text.contains(part))
        try fixture.write(text.replacing(part, with: other), as: "wrong.json")
        let run = try fixture.run("custody map wrong.json")
        #expect(run.code == 65 && run.errorText.contains("error: no snapshot: \(message)"), "\(run.errorText)")
        let place = run.errorText.split(separator: ":").dropFirst().prefix(2).compactMap { Int($0) }
        #expect(place.count == 2 && place[0] > 1, "\(run.errorText)")
    }
}

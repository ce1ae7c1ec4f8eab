import Testing

/// Nothing that the tool says is lost in silence.
@Suite(.timeLimit(.minutes(60))) struct StreamTests: ~Copyable {
    let fixture: ToolFixture

    init() throws { fixture = try ToolFixture.withFiles() }

    /// A command of each kind that says something on standard output.
    private static let commands = [
        "--help", "run", "run --repeat 2", "probe", "probe --json", "explain gmem-v5", "explain gmem-v5 --dot",
        "check --properties", "check --protocol gmem-custody --actors pin --quiet", "check-config vm.yaml",
        "check-config --schema", "trace show t.jsonl", "trace stats t.jsonl", "trace verify t.jsonl", "replay t.jsonl",
        "map s.json", "map t.jsonl --color always", "map --svg s.json",
    ]

    @Test(arguments: commands)
    func aFullOrClosedStandardOutputIsAnError(command: String) throws {
        let plain = try fixture.run("custody \(command)")
        #expect(plain.code == 0 && !plain.output.isEmpty, "\(plain.errorText)")
        for sink in ["/dev/full", "&-"] {
            let run = try fixture.run("custody \(command) >\(sink)")
            #expect(run.code == 74 && !run.isSignalled, "\(command) >\(sink): \(run.code)")
            let said = run.errorText.ranges(of: "standard output cannot be written: ").count
            #expect(run.errorText.hasPrefix("custody: standard output") && said == 1, "\(run.errorText)")
        }
    }

    @Test func anErrorKeepsItsCodeWhereverItsMessageGoes() throws {
        for sink in ["/dev/null", "/dev/full", "&-"] {
            #expect(try fixture.run("custody run missing.yaml 2>\(sink)").code == 78)
            #expect(try fixture.run("custody run --no-such-option 2>\(sink)").code == 64)
            #expect(try fixture.run("custody trace show missing.jsonl 2>\(sink)").code == 65)
        }
    }

    @Test func aNoteThatCannotBeWrittenIsAnError() throws {
        try fixture.write(String(try fixture.text("t.jsonl").dropLast(20)), as: "torn.jsonl")
        let plain = try fixture.run("custody trace show torn.jsonl")
        #expect(plain.code == 0 && plain.errorText.contains("torn"))
        #expect(try fixture.run("custody trace show torn.jsonl 2>/dev/full").code == 74)
        #expect(try fixture.run("custody trace show torn.jsonl 2>&-").code == 74)
    }

    /// A descriptor that was closed is not given to a file, which would get what is said into it.
    @Test func noFileBecomesAStandardStream() throws {
        _ = try fixture.run("custody run --trace new.jsonl >&- 2>&-")
        let lines = try fixture.text("new.jsonl").split(separator: "\n")
        #expect(lines.count > 5 && lines.allSatisfy { $0.hasPrefix("{") })
    }

    @Test func aReaderThatHasSeenEnoughIsNoError() throws {
        let mark =
            #"{"n":1,"seq":1,"t":0,"thread":1,"marked":{"name":"\#(String(repeating: "m", count: 1000))"}}"# + "\n"
        let lines = String(repeating: mark, count: 3000)
        try fixture.write(ToolFixture.header(pages: 16) + lines, as: "long.jsonl")
        let run = try fixture.run("{ custody trace show long.jsonl; echo $? >code; } | head -n 1")
        #expect(run.code == 0 && run.outputText.hasPrefix("trace of simulation") && run.errors.isEmpty)
        // 128 and the number of SIGPIPE, as a shell tells of other tools.
        #expect(try fixture.text("code") == "141\n")
        let ignored = try fixture.run(
            "trap '' PIPE; { custody trace show long.jsonl; echo $? >code; } | head -n 1"
        )
        #expect(ignored.errorText.contains("Broken pipe"))
        #expect(try fixture.text("code") == "74\n")
    }

    @Test func aFileThatMayNotGrowIsAnError() throws {
        let trace = try fixture.run("ulimit -f 4; custody run --repeat 50 --trace big.jsonl")
        #expect(trace.code == 74 && !trace.isSignalled)
        #expect(trace.errorText.contains("big.jsonl: error: lines could not be written: File too large"))
        let before = try fixture.text("s.json")
        let snapshot = try fixture.run("ulimit -f 1; custody run --snapshot s.json >/dev/null")
        #expect(snapshot.code == 74 && snapshot.errorText.contains("File too large"), "\(snapshot.errorText)")
        #expect(try fixture.text("s.json") == before, "it is as it was")
        #expect(try fixture.run("ls -A | grep -c '^\\.custody-'").outputText == "0\n", "and nothing is left beside it")
    }
}

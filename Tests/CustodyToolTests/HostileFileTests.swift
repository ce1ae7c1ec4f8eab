import Testing

/// Files from anybody, as the tool meets them: an answer or an error with its place; no trap, no wait, no other file.
@Suite(.timeLimit(.minutes(60))) struct HostileFileTests: ~Copyable {
    let fixture: ToolFixture

    init() throws { fixture = try ToolFixture() }

    private func closed(pages: UInt64) -> String {
        #"{"n":1,"t":0,"thread":0,"closed":{"ownership":[{"range":{"count":\#(pages),"page":0},"state":"shared"}]}}"#
            + "\n"
    }

    /// The whole address space, and more memory than any machine has.
    @Test(arguments: [(UInt64(1) << 40, "4 PiB"), (1 << 52, "16 EiB")])
    func aGuestOfAnySizeIsShown(pages: UInt64, size: String) throws {
        try fixture.write(ToolFixture.header(pages: pages) + closed(pages: pages), as: "t.jsonl")
        for command in ["trace show", "trace stats", "trace verify", "map", "map --svg", "replay"] {
            let run = try fixture.run("custody \(command) t.jsonl")
            #expect(run.code == 0 && !run.isSignalled, "\(command): \(run.code), \(run.errorText)")
            if command == "trace show" { #expect(run.outputText.contains("\(size) in units of 4 KiB")) }
            if command.hasPrefix("map") { #expect(run.outputText.contains("shared \(size)"), "\(run.outputText)") }
        }
    }

    /// What a back end does page by page is not asked of it without bound.
    @Test func aReplayHasABound() throws {
        let range = #"{"count":8589934592,"page":0}"#
        let request =
            #"{"contents":"any","range":\#(range),"requester":{"host":"vmm"},"target":"private","#
            + #""whenHeld":"handOver"}"#
        let line = #"{"n":1,"seq":1,"t":0,"thread":1,"requested":{"request":\#(request)}}"# + "\n"
        try fixture.write(ToolFixture.header(pages: 1 << 33) + line, as: "t.jsonl")
        let run = try fixture.run("custody replay t.jsonl")
        #expect(run.code == 65, "\(run.code)")
        #expect(
            run.errorText.hasPrefix("t.jsonl:2: error: by this line, more pages are to change than a replay changes")
        )
    }

    @Test(arguments: ["policy", "limits", "pool"])
    func aTraceNamesNoFile(key: String) throws {
        try fixture.write("secret-word: x\n", as: "secret.yaml")
        for name in ["secret.yaml", "fifo", "missing.yaml"] {
            let rules =
                #""configuration":"{\"guest\": {\"memory\": [{\"at\": 0, \"size\": \"64KiB\"}]}, "#
                + #"\"\#(key)\": \"\#(name)\"}","#
            try fixture.write(ToolFixture.header(pages: 16, rules) + closed(pages: 16), as: "t.jsonl")
            let run = try fixture.run("mkfifo fifo 2>/dev/null; custody replay t.jsonl")
            #expect(run.code == 78, "\(run.errorText)")
            #expect(run.errorText.contains("error: ‘\(name)’ names a file, and what stands here may name none"))
            #expect(!run.errorText.contains("secret-word"))
        }
    }

    @Test func anEarlierFileIsReadOnlyWhereTheHeaderSaysSo() throws {
        try fixture.write(ToolFixture.header(pages: 16) + closed(pages: 16), as: "t.jsonl")
        for earlier in ["mkfifo t.jsonl.1", "mkdir t.jsonl.1", "echo nonsense >t.jsonl.1"] {
            let run = try fixture.run("rm -rf t.jsonl.1; \(earlier); custody trace verify t.jsonl")
            #expect(run.code == 0, "\(earlier): \(run.errorText)")
        }
        // A header that says so does not have a pipe opened.
        try fixture.write(ToolFixture.header(pages: 16, #""continues":5,"#), as: "t.jsonl")
        let run = try fixture.run("rm -rf t.jsonl.1; mkfifo t.jsonl.1; custody trace show t.jsonl")
        #expect(
            run.code == 65
                && run.errorText.contains("t.jsonl.1: error: the file cannot be read: it is not a regular file")
        )
    }

    @Test func whatIsNoFileIsAnErrorAtOnce() throws {
        try fixture.write(
            "backend: simulation\nguest: {memory: [{at: 2MiB, size: 2MiB}]}\npolicy: fifo\n",
            as: "vm.yaml"
        )
        let made = try fixture.run("mkfifo fifo; mkdir folder")
        #expect(made.code == 0)
        for (command, code) in [("check-config", 78), ("run", 78), ("run --config", 78)] {
            for (name, why) in [
                ("fifo", "a pipe that nobody writes to"), ("folder", "Is a directory"), ("/dev/zero", ""),
            ] {
                let run = try fixture.run("custody \(command) \(name)")
                #expect(run.code == Int32(code) && run.errorText.contains(why), "\(command) \(name): \(run.errorText)")
            }
        }
        for command in ["trace show", "trace stats", "map", "replay"] {
            for (name, why) in [
                ("fifo", "a pipe that nobody writes to"), ("folder", "Is a directory"), ("/dev/zero", ""),
            ] {
                let run = try fixture.run("custody \(command) \(name)")
                #expect(run.code == 65 && run.errorText.contains(why), "\(command) \(name): \(run.errorText)")
            }
        }
        let included = try fixture.run("custody check-config vm.yaml")
        #expect(
            included.errorText.contains("vm.yaml:3:9: error: the file fifo cannot be read: it is not a regular file")
        )
        // What somebody writes to is read.
        let pipe = try fixture.run("cat vm.yaml | sed 's/policy.*//' | custody check-config /dev/stdin")
        #expect(pipe.code == 0, "\(pipe.errorText)")
    }

    /// What could reach a terminal: anything but lines of printable characters.
    private func isHarmless(_ bytes: [UInt8]) -> Bool {
        String(decoding: bytes, as: UTF8.self).unicodeScalars.allSatisfy { scalar in
            scalar == "\n" || (scalar.value >= 0x20 && !(0x7F...0x9F).contains(scalar.value) && scalar.value != 0x202E)
        }
    }

    @Test func noControlCharacterReachesATerminal() throws {
        let evil = #"a\u001b[2J\u009b31m\u202e\r\n\u0007\u007fz"#
        let yaml = #"a\e[2J\x9b31m\u202e\r\n\a\x7fz"#
        let marked = #"{"n":1,"seq":1,"t":0,"thread":1,"marked":{"name":"\#(evil)"}}"# + "\n"
        let leased =
            #"{"n":2,"seq":2,"t":0,"thread":1,"leased":{"lease":{"holder":{"device":"\#(evil)"},"id":1,"#
            + #""kind":"pin","range":{"count":1,"page":1}}}}"# + "\n"
        let veto =
            #"{"n":3,"seq":3,"t":0,"thread":1,"vetoed":{"listener":"\#(evil)","reason":"\#(evil)","isTransient":false}}"#
        let asked =
            #"{"n":4,"seq":4,"t":0,"thread":1,"requested":{"request":{"contents":"any","range":{"count":1,"page":1},"#
            + #""requester":{"host":"\#(evil)"},"target":"private","whenHeld":"handOver"}}}"# + "\n"
        let rules = #""configuration":"\#(evil)","#
        try fixture.write(
            ToolFixture.header(pages: 16, rules).replacing("simulation", with: evil) + marked + leased + veto + "\n"
                + asked,
            as: "t.jsonl"
        )
        try fixture.write(#"{"\#(evil)":1}"# + "\n", as: "none.jsonl")
        try fixture.write(#""\#(yaml)": "\#(yaml)""#, as: "wrong.yaml")
        try fixture.write(
            "backend: simulation\nguest: {memory: [{at: 2MiB, size: 64MiB}]}\n"
                + #"scenario: {name: "\#(yaml)", steps: []}"#,
            as: "vm.yaml"
        )
        try fixture.write(
            #"name: "\#(yaml)""# + "\nsteps:\n"
                + #"  - {device: "\#(yaml)", does: pin, at: 4MiB, size: 4KiB}"# + "\n"
                + "  - {guest: request, target: private, at: 4MiB, size: 4KiB, expect: done}\n",
            as: "play.yaml"
        )
        for command in [
            "trace show t.jsonl", "trace stats t.jsonl", "trace verify t.jsonl", "trace verify --open t.jsonl",
            "map t.jsonl", "map --svg t.jsonl", "replay t.jsonl", "trace show none.jsonl", "map none.jsonl",
            "check-config wrong.yaml", "check-config vm.yaml", "run --config vm.yaml", "run play.yaml",
            "run --events play.yaml", "run wrong.yaml", #"run "$(printf 'x\033[2Jy')""#,
            #"run --backend "$(printf '\033[2J')""#,
            #"explain "$(printf '\033[2J')""#,
        ] {
            let run = try fixture.run("custody \(command)")
            #expect(!run.isSignalled && run.code < 124, "\(command): \(run.code)")
            #expect(isHarmless(run.output), "\(command): \(run.outputText.debugDescription)")
            #expect(isHarmless(run.errors), "\(command): \(run.errorText.debugDescription)")
            #expect(!run.output.isEmpty || !run.errors.isEmpty)
        }
    }

    @Test(arguments: ["show", "stats", "verify"]) func aFileWithoutALineIsNoTrace(command: String) throws {
        for file in ["/dev/null", "empty"] {
            let run = try fixture.run("touch empty; custody trace \(command) \(file)")
            #expect(run.code == 65 && run.errorText.contains("there is no trace in the file"), "\(run.errorText)")
            #expect(run.outputText.isEmpty)
        }
    }
}

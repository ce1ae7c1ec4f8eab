import Testing

/// What is wrong on the command line is a usage error (64), and what is wrong in a file is one of the file.
@Suite(.timeLimit(.minutes(60))) struct CommandLineTests: ~Copyable {
    let fixture: ToolFixture

    init() throws { fixture = try ToolFixture.withFiles() }

    private func expect(_ command: String, _ code: Int32, _ text: String) throws {
        let run = try fixture.run("custody \(command)")
        #expect(run.code == code && run.errorText.contains(text), "\(command): \(run.code), \(run.errorText)")
        #expect(!run.errorText.contains(":1:1: error: unknown value of"), "\(run.errorText)")
    }

    @Test func aWrongOptionIsNoWrongFile() throws {
        try expect(
            "run --backend simulaton",
            64,
            "--backend: error: unknown back end ‘simulaton’; did you mean ‘simulation’?"
        )
        try expect("run --backend kvm --seed 3", 64, "--seed: error: the back end does not take this option")
        try expect("run --backend kvm --interleave", 64, "--interleave: error: the back end does not take this option")
        try expect("run --config vm.yaml --backend simulaton", 64, "--backend: error: unknown back end")
        try expect("replay --backend simulaton t.jsonl", 64, "--backend: error: unknown back end ‘simulaton’")
        try expect("replay --backend simulaton --rules vm.yaml t.jsonl", 64, "--backend: error: unknown back end")
        try fixture.write("backend: simulaton\nguest: {memory: [{at: 0, size: 4KiB}]}\n", as: "wrong.yaml")
        try expect("run --config wrong.yaml", 78, "wrong.yaml:1:10: error: unknown back end ‘simulaton’")
        try expect("replay --rules wrong.yaml t.jsonl", 78, "wrong.yaml:1:10: error: unknown back end")
        try fixture.write(
            "backend: simulation\nguest: {memory: [{at: 2MiB, size: 64MiB}]}\nbackends: {simulation: {seed: x}}\n",
            as: "seed.yaml"
        )
        try expect("run --seed 1 --config seed.yaml", 78, "seed.yaml:3:31: error: ‘seed’ must be")
        try fixture.write(
            "name: x\nbackends: {simulation: {sed: 1}}\nsteps: [{wait: 1s}]\n",
            as: "scenario.yaml"
        )
        try expect("run --seed 1 scenario.yaml", 78, "scenario.yaml:2:30: error: unknown key ‘sed’")
    }

    @Test func whatHasNoEffectIsRefused() throws {
        try expect("check --protocol gmem-v5 --actors pin:atomic:atomic", 64, "‘atomic’ does not go with ‘atomic’")
        try expect("check --protocol gmem-v5 --actors pin:space-0:space-1", 64, "‘space-1’ does not go with ‘space-0’")
        try expect(
            "check --protocol gmem-v5 --actors converter:leaves:asks-again",
            64,
            "‘asks-again’ does not go with ‘leaves’"
        )
        for text in [",,", "", "a,,b", "a, "] {
            try expect("check --protocol gmem-v5 --actors '\(text)'", 64, "is empty")
            try expect("check --protocol gmem-v5 --set hold --property '\(text)'", 64, "is empty")
            try expect("trace show --kind '\(text)' t.jsonl", 64, "is empty")
        }
        try expect("trace show --kind answered,decided,answered t.jsonl", 64, "--kind names ‘answered’ twice")
        try expect("check --protocol gmem-v5 --set hold --property 'a,a'", 64, "--property names ‘a’ twice")
        try expect("trace show --who '' t.jsonl", 64, "--who takes a name, and this is empty")
        for page in ["0x400001", "4097", "x"] {
            try expect(
                "trace show --page \(page) t.jsonl",
                64,
                "--page takes the address of a page such as 2MiB, not ‘\(page)’"
            )
        }
        try expect("trace show --from 2ms --to 1ms t.jsonl", 64, "--from is after --to")
        try expect("run --seed 1 --seed=2", 64, "--seed stands twice")
        try expect("trace show t.jsonl --from 1ms --from 2ms", 64, "--from stands twice")
        try expect("map --line 100000 t.jsonl", 64, "--line 100000 is not in the trace, which has ")
        try expect("map --line 0 t.jsonl", 64, "--line takes a number from 1 on")
        try expect("map --time 100s t.jsonl", 64, "--time 100 s is after the trace, which ends at ")
        try expect("map --line 3 s.json", 64, "--line and --time are of a trace, and s.json is a snapshot")
        try expect("map --time 1ms s.json", 64, "--line and --time are of a trace")
        let last = try fixture.text("t.jsonl").split(separator: "\n").count
        for line in [1, 2, last] {
            let run = try fixture.run("custody map --line \(line) t.jsonl")
            #expect(run.code == 0, "\(run.errorText)")
        }
        #expect(try fixture.run("custody run -- -x -x").errorText.contains("-x"), "after -- there are no options")
    }

    /// What is found wrong once the command runs is shown with how that command is used.
    @Test(arguments: ["check", "map t.jsonl --line 100000", "map --line 3 s.json"])
    func whatIsWrongIsShownWithTheUsageOfTheCommand(command: String) throws {
        let run = try fixture.run("custody \(command)")
        let name = command.prefix { $0 != " " }
        let lines = run.errorText.split(separator: "\n")
        #expect(run.code == 64 && lines.first?.hasPrefix("Error: ") == true, "\(run.errorText)")
        #expect(lines.contains { $0.hasPrefix("Usage: custody \(name) ") }, "\(run.errorText)")
        #expect(lines.last == "  See 'custody \(name) --help' for more information.", "\(run.errorText)")
    }

    /// A word of any length is quoted as far as it helps, and one with nothing in common is not proposed.
    @Test func aMessageIsAsLongAsItHelps() throws {
        for mark in ["", "!"] {
            try fixture.write("backend: \(mark)\(String(repeating: "x", count: 500_000)) y\n", as: "long.yaml")
            let run = try fixture.run("custody check-config long.yaml")
            #expect(run.code == 78 && run.errorText.contains("x…’") && run.errorText.count < 1000)
        }
        try fixture.write("name: x\nsteps: [{guest: write, at: 2MiB, text: a, wiat: 1}]\n", as: "s.yaml")
        try expect("run s.yaml", 78, "s.yaml:2:43: error: unknown key ‘wiat’ (accepted: ")
    }

    /// A writer that is slow is waited for, and whoever waits is told so: the writer here writes when that is said.
    @Test(arguments: ["check-config", "run --config", "trace show", "map"])
    func aSilentWriterIsNamed(command: String) throws {
        let file = command.contains("config") ? "vm.yaml" : "t.jsonl"
        let run = try fixture.run(
            """
            mkfifo fifo; : >err
            (while ! grep -q waiting err; do sleep 0.05; done; cat \(file)) >fifo &
            custody \(command) fifo 2>err; code=$?; wait; cat err >&2; exit $code
            """
        )
        #expect(run.code == 0, "\(run.code): \(run.errorText)")
        #expect(run.errorText == "custody: waiting for somebody to write to fifo\n", "once, and nothing else")
    }

    /// A file that a file names may be anybody's: what is in it is not printed.
    @Test func anIncludedFileIsNotQuoted() throws {
        let secret = "sEcReT"
        let contents = [
            "\(secret):x:19000:0:99999:7:::", "\(secret): 1", "rate: \(secret)", "rate: {count: \(secret), per: 1s}",
            "[\(secret)]", "\(secret): 1\n\(secret): 2", "x: !\(secret) y", "x: *\(secret)",
            "lock-down: {after: '\(secret)!'}",
            "name: '\(secret)!'\nshared: 1MiB", "pending: \(secret)", "name: \(secret)\nsteps: [{\(secret): 1}]",
            "name: x\nsteps: [{host: \(secret)}]", "name: x\nsteps: [{wait: \(secret)}]\npolicy: \(secret)",
            "name: x\nsteps: [{wait: 1s}]\npolicy: \(secret)", "? [\(secret)]\n: 1", "\"\(secret)",
        ]
        for key in ["policy", "limits", "pool", "scenario"] {
            try fixture.write(
                "backend: simulation\nguest: {memory: [{at: 2MiB, size: 2MiB}]}\n\(key): included\n",
                as: "including.yaml"
            )
            for text in contents {
                try fixture.write(text, as: "included")
                let run = try fixture.run("custody check-config including.yaml")
                #expect(!run.errorText.contains(secret), "\(key): \(text): \(run.errorText)")
                #expect(run.code == 0 || run.errorText.contains("included:"), "\(key): \(text): \(run.errorText)")
            }
        }
        // What was expected, and the nearest word, are said all the same.
        try fixture.write("protct: []\n", as: "included")
        try fixture.write(
            "backend: simulation\nguest: {memory: [{at: 2MiB, size: 2MiB}]}\npolicy: included\n",
            as: "including.yaml"
        )
        try expect("check-config including.yaml", 78, "included:1:1: error: unknown key there; did you mean ‘protect’?")
    }
}

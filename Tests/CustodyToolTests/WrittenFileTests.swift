import Testing

/// Where the files that the tool writes end up.
@Suite(.timeLimit(.minutes(60))) struct WrittenFileTests: ~Copyable {
    let fixture: ToolFixture

    init() throws { fixture = try ToolFixture() }

    /// Each way to have a file written, with `FILE` for its name.
    private static let writers = [
        "custody run --snapshot FILE", "custody run --trace FILE",
        "custody check --protocol gmem-v5 --set 'hold' --scenario FILE --quiet",
        "custody check --protocol gmem-v5 --set 'hold' --html FILE --quiet",
    ]

    private func script(_ writer: String, _ name: String) -> String { writer.replacing("FILE", with: name) }

    @Test(arguments: writers)
    func linksAreFollowedAndNodesStay(writer: String) throws {
        let plain = try fixture.run(script(writer, "plain"))
        #expect(plain.code < 2, "\(plain.errorText)")
        // Through links, to a file that is there, with its mode, and to one that is not.
        let prepared = try fixture.run(
            "mkdir deep; ln -s deep/real link; ln -s deep/new dangling; umask 0; : >deep/real; chmod 640 deep/real"
        )
        #expect(prepared.code == 0)
        for name in ["link", "dangling"] {
            let run = try fixture.run(script(writer, name))
            #expect(run.code == plain.code, "\(run.errorText)")
        }
        let listing = try fixture.run("stat -c '%F %a' link deep/real; stat -c %F dangling deep/new; ls -A deep")
        #expect(listing.outputText == "symbolic link 777\nregular file 640\nsymbolic link\nregular file\nnew\nreal\n")
        // A pipe and a device.
        let piped = try fixture.run(
            "mkfifo fifo; cat fifo >copy & \(script(writer, "fifo")); code=$?; wait; test -p fifo && exit $code"
        )
        #expect(piped.code == plain.code, "\(piped.errorText)")
        let copy = try fixture.text("copy")
        let whole = try fixture.text("plain")
        #expect(copy.count > 100 && copy.count * 2 > whole.count)
        #expect(try fixture.run("\(script(writer, "/dev/null")); test -c /dev/null").code == 0)
        let full = try fixture.run(script(writer, "/dev/full"))
        #expect(full.code == 74 && full.errorText.contains("No space left on device"), "\(full.errorText)")
        // What is neither.
        let folder = try fixture.run(script(writer, "deep"))
        #expect(folder.code == 74 && folder.errorText.contains("Is a directory"), "\(folder.errorText)")
    }

    @Test func aFileIsReplacedAsAWhole() throws {
        let run = try fixture.run(
            "custody run --snapshot s.json >/dev/null; ln s.json old; custody run --snapshot s.json >/dev/null; "
                + "test s.json -ef old || echo replaced; cmp s.json old; ls -A"
        )
        #expect(run.outputText.hasPrefix("replaced\n") && !run.outputText.contains(".custody-"))
    }

    /// A counterexample of an earlier run would pass for one of this run.
    @Test func aFileOfAnEarlierRunIsRemoved() throws {
        let run = try fixture.run(
            """
            echo old >out.yaml; echo old >real; ln -s real link
            custody check --protocol gmem-custody --actors converter --scenario out.yaml --html link -q; echo $?; ls
            mkfifo pipe; custody check --protocol gmem-custody --actors converter --scenario pipe -q >/dev/null; ls pipe
            """
        )
        #expect(run.outputText.hasSuffix("\n0\nlink\npipe\n") || run.outputText.hasSuffix("\n0\nlink\npipe"))
        #expect(run.errorText.contains("custody: there is no counterexample to write"), "\(run.errorText)")
    }

    @Test func standardOutputMayBeNamed() throws {
        let run = try fixture.run("custody run --snapshot /dev/stdout >all")
        #expect(run.code == 0)
        let all = try fixture.text("all")
        #expect(all.contains("steps as expected") && all.contains(#""nextTicket""#))
    }

    /// A trace and a snapshot in one file would be one of the two.
    @Test func twoOutputsAreTwoFiles() throws {
        for script in [
            "custody run --trace same --snapshot same", "custody run --trace same --snapshot ./same",
            "touch a; ln -s a b; custody run --trace a --snapshot b",
        ] {
            let run = try fixture.run(script)
            #expect(run.code == 64 && run.errorText.contains("name one file"), "\(run.errorText)")
        }
        let checked = try fixture.run("custody check --set hold --html x --scenario ./x")
        #expect(checked.code == 64 && checked.errorText.contains("name one file"), "\(checked.errorText)")
        let read = try fixture.run("echo 'steps: []' >s.yaml; custody run s.yaml --snapshot s.yaml; cat s.yaml")
        #expect(read.errorText.contains("name one file") && read.outputText == "steps: []\n", "\(read.errorText)")
        let apart = try fixture.run("custody run --trace t --snapshot s >/dev/null && ls t s")
        #expect(apart.code == 0 && apart.outputText == "s\nt\n")
    }
}

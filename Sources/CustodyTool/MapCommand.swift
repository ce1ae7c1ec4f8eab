import ArgumentParser
import Custody
import CustodyPolicy
import CustodyTrace

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// `custody map`: who owns what, as a picture.
struct MapCommand: ParsableCommand, RuledArguments {
    static let configuration = CommandConfiguration(
        commandName: "map",
        abstract: "Draw who owns what: from a snapshot, or from a trace at a line or a time.",
        discussion: """
            `custody run --snapshot FILE` writes a snapshot. Of a trace the ownership in the end is drawn unless a line or \
            a time is named.

            Exit codes: 0 for success, 64 when the command line is wrong, 65 when the file is neither a snapshot nor a \
            trace that can be.

            \(rules.text)
            """
    )

    static let rules = [
        OptionRule("file"), OptionRule("--line"), OptionRule("--time", excludes: ["--line"]),
        OptionRule("--width", excludes: ["--svg"]), OptionRule("--color", excludes: ["--svg"]), OptionRule("--svg"),
    ]

    /// When there are colours.
    enum Colour: String, ExpressibleByArgument, CaseIterable {
        case auto, always, never
    }

    @Argument(help: "A snapshot or a trace.")
    var file: String

    @Option(help: "Up to what this line of a trace tells of.")
    var line: Int?

    @Option(help: "Up to what was told by this time of a trace, for example 20ms.")
    var time: String?

    @Option(help: "The width in columns; that of the terminal unless named.")
    var width: Int?

    @Option(help: "Colours: auto (where a terminal shows it; unless named), always, never.")
    var color: Colour?

    @Flag(help: "Draw an SVG instead.")
    var svg = false

    func validate() throws {
        try checkRules()
        if let line, line < 1 { throw ValidationError("--line takes a number from 1 on") }
        if let time, Duration(text: time) == nil {
            throw ValidationError("--time takes a time such as 500ns, 10us, 20ms or 1s, not ‘\(time)’")
        }
        if let width, !(20...10_000).contains(width) {
            throw ValidationError("--width takes a number from 20 to 10000")
        }
    }

    func run() throws {
        try ExitCode.reporting {
            let picture = try picture()
            guard !svg else { return try StandardOutput.write(OwnershipDrawing(picture).text + "\n") }
            let isTerminal = isatty(STDOUT_FILENO) != 0
            let isColoured = color == .always || (color ?? .auto == .auto && isTerminal)
            let map = OwnershipMap(picture, width: width ?? terminalWidth, isColoured: isColoured)
            try StandardOutput.write(map.text + "\n")
        }
    }

    private var terminalWidth: Int {
        var size = winsize()
        guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    /// What a trace says up to the line or the time, or a snapshot.
    private func picture() throws -> OwnershipPicture {
        var account: TraceAccount
        do {
            account = try TraceAccount(file, until: time.flatMap { Duration(text: $0) }, line: line)
        } catch {
            let snapshot = try snapshot(insteadOf: error)
            guard line == nil, time == nil else {
                throw ValidationError("--line and --time are of a trace, and \(file) is a snapshot")
            }
            return OwnershipPicture(snapshot)
        }
        try account.read()
        TraceCommand.reportNote(account.tornLine)
        if let line, account.end.line < line {
            throw ValidationError("--line \(line) is not in the trace, which has \(account.end.line) lines")
        }
        if let time = time.flatMap({ Duration(text: $0) }), account.end.time.since(.zero) < time {
            throw ValidationError(
                "--time \(time.text) is after the trace, which ends at \(account.end.time.since(.zero).text)"
            )
        }
        let title = account.last.map { entry in
            "at \(entry.record.time.since(.zero).text), line \(entry.line) of the trace"
        }
        return OwnershipPicture(account.model, title: title ?? "at the beginning of the trace")
    }

    private func snapshot(insteadOf trace: TraceError) throws(TraceError) -> ControllerSnapshot {
        do {
            return try SnapshotFile.read(file)
        } catch {
            // The same twice where the file cannot be had at all.
            guard error.message != trace.message else { throw error }
            let message = "\(error.message); as a trace: \(trace.message), at \(trace.place)"
            throw TraceError(message, file: file, line: error.line, column: error.column)
        }
    }
}

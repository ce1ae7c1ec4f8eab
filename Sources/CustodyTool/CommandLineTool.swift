import ArgumentParser
import CustodyFiles

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The tool as a program: its arguments, its two streams and its exit code.
package enum CommandLineTool {
    /// Runs the command that the arguments name, and ends the process.
    ///
    /// The exit code is 74 (`EX_IOERR`) where standard output took less than there was to say, or where a message is all
    /// that went wrong and standard error did not take it. Where the reader of standard output is gone, the process ends
    /// by `SIGPIPE`, as other tools do, but not before the command has put everything away.
    package static func main() -> Never {
        Signals.prepare()
        InputFile.onWait { report("custody: waiting for somebody to write to \($0)") }
        var code = run()
        do throws(OutputError) {
            try StandardOutput.flush()
        } catch {
            code = failed(error)
        }
        if code == .success, StandardError.hasFailed { code = .ioError }
        exit(code.rawValue)
    }

    private static func run() -> ExitCode {
        do {
            let arguments = Array(CommandLine.arguments.dropFirst())
            if let option = repeated(arguments) { throw ValidationError("\(option) stands twice") }
            var command = try CustodyCommand.parseAsRoot(arguments)
            do { try command.run() } catch let error as ValidationError {
                report(lines: ["Error: \(error.message)"] + usage(of: type(of: command)))
                return .validationFailure
            }
            return .success
        } catch is OutputError {
            // What comes last says so.
            return .ioError
        } catch {
            let code = CustodyCommand.exitCode(for: error)
            let message = CustodyCommand.fullMessage(for: error)
            guard !message.isEmpty else { return code }
            guard code == .success else {
                report(lines: message.split(separator: "\n", omittingEmptySubsequences: false).map(String.init))
                return code
            }
            do throws(OutputError) { try print(message) } catch { return .ioError }
            return code
        }
    }

    /// How a command is used, as the parser says it of what is wrong before the command runs.
    private static func usage(of command: any ParsableCommand.Type) -> [String] {
        let usage = CustodyCommand.usageString(for: command)
        let name = usage.split(separator: " ").prefix { !$0.hasPrefix("[") && !$0.hasPrefix("<") && !$0.hasPrefix("-") }
        return ["Usage: \(usage)", "  See '\(name.joined(separator: " ")) --help' for more information."]
    }

    /// An option that stands twice: one of the two would be dropped in silence.
    private static func repeated(_ arguments: [String]) -> String? {
        var seen: Set<Substring> = []
        let options = arguments.prefix { $0 != "--" }.filter { $0.hasPrefix("-") && $0 != "-" }
        return options.map { $0.prefix { $0 != "=" } }.first { !seen.insert($0).inserted }.map(String.init)
    }

    /// Says that standard output took no more.
    private static func failed(_ error: OutputError) -> ExitCode {
        if error.isReaderGone { Signals.endAsByBrokenPipe() }
        report("custody: \(error)")
        return .ioError
    }
}

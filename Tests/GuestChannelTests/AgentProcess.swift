import Custody
import Foundation
import GuestChannel

/// The guest agent for Linux, as a process of this machine with a socket for its port.
final class AgentProcess {
    private let process = Process()
    private let output = Pipe()
    /// The host's end of its port.
    let connection: ChannelConnection

    /// The folder of the Linux guest, which is made where it is not there.
    static func folder() throws -> String {
        let script = Process()
        let output = Pipe()
        var package = URL(filePath: #filePath)
        for _ in 0..<3 { package.deleteLastPathComponent() }
        script.executableURL = package.appending(path: "Scripts/linux-guest")
        script.standardOutput = output
        try script.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        script.waitUntilExit()
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
        guard script.terminationStatus == 0, let path = lines.last else {
            throw BackendError(.unavailable, "the Linux guest was not made (exit code \(script.terminationStatus))")
        }
        return String(path)
    }

    init(_ arguments: [String]) throws {
        var ends: [Int32] = [0, 0]
        guard unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0
        else {
            throw BackendError(.system, "socketpair: errno \(errno)")
        }
        let port = FileHandle(fileDescriptor: ends[0], closeOnDealloc: true)
        connection = try ChannelConnection(descriptor: ends[1], granularity: .base)
        process.executableURL = URL(filePath: try AgentProcess.folder() + "/custody-agent")
        process.arguments = ["-p", "-"] + arguments
        process.standardInput = port
        process.standardOutput = output
        process.standardError = output
    }

    func start() throws {
        try process.run()
        // The process has its own.
        try (process.standardInput as? FileHandle)?.close()
    }

    deinit {
        guard process.isRunning else { return }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// Waits for its end.
    func finish() throws -> (code: Int32, output: String) {
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: text, as: UTF8.self))
    }
}

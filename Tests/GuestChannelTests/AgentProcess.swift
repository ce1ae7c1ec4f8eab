import Custody
import CustodyTestSupport
import Foundation
import GuestChannel

/// The guest agent for Linux, as a process of this machine with a socket for its port.
final class AgentProcess {
    private let process = Process()
    private let output = Pipe()
    /// The host's end of its port.
    let connection: ChannelConnection

    init(_ arguments: [String]) throws {
        var ends: [Int32] = [0, 0]
        guard unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0
        else {
            throw BackendError(.system, "socketpair: errno \(errno)")
        }
        let port = FileHandle(fileDescriptor: ends[0], closeOnDealloc: true)
        connection = try ChannelConnection(descriptor: ends[1], granularity: .base)
        process.executableURL = URL(filePath: try LinuxGuest().agent)
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

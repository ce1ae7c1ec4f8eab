import Foundation
import Testing

/// A run of the built tool by a shell, with what came of it.
struct ToolRun {
    let code: Int32
    /// Whether a signal ended it; `code` is its number then.
    let isSignalled: Bool
    let output: [UInt8]
    let errors: [UInt8]

    var outputText: String { String(decoding: output, as: UTF8.self) }
    var errorText: String { String(decoding: errors, as: UTF8.self) }

    /// The tool, which is built beside the tests.
    static var tool: String {
        get throws {
            let folder = URL(filePath: CommandLine.arguments[0]).resolvingSymlinksInPath().deletingLastPathComponent()
            let path = folder.appending(path: "custody").path()
            try #require(FileManager.default.isExecutableFile(atPath: path), "the tool is built beside the tests")
            return path
        }
    }

    /// Runs `script`, in which `custody` is the tool, in `folder`.
    ///
    /// It has two minutes; a tool that waits for something for ever is killed by then.
    init(_ script: String, in folder: String) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = ["-c", "custody() { timeout 120 '\(try ToolRun.tool)' \"$@\"; }\n" + script]
        process.currentDirectoryURL = URL(filePath: folder)
        let out = folder + "/.out-\(UUID().uuidString)"
        let err = folder + "/.err-\(UUID().uuidString)"
        for path in [out, err] { _ = FileManager.default.createFile(atPath: path, contents: nil) }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: URL(filePath: out))
        process.standardError = try FileHandle(forWritingTo: URL(filePath: err))
        try process.run()
        process.waitUntilExit()
        code = process.terminationStatus
        isSignalled = process.terminationReason == .uncaughtSignal
        output = [UInt8](try #require(FileManager.default.contents(atPath: out)))
        errors = [UInt8](try #require(FileManager.default.contents(atPath: err)))
    }
}

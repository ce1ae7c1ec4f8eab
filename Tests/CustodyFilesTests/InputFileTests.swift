import CustodyFiles
import Foundation
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Files are read within bounds, and to open one never waits.
@Suite(.timeLimit(.minutes(60))) struct InputFileTests: ~Copyable {
    let folder: String

    init() throws {
        folder = FileManager.default.temporaryDirectory.path() + "/custody-files-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private func error(_ path: String, _ kind: InputFile.Kind = .any, atMost limit: Int = 10) -> String? {
        do throws(FileError) {
            _ = try InputFile.bytes(of: path, kind, atMost: limit)
            return nil
        } catch {
            return error.description
        }
    }

    @Test func aFileIsReadUpToTheLimit() throws {
        let path = "\(folder)/ten"
        try Data("0123456789".utf8).write(to: URL(filePath: path))
        #expect(try InputFile.bytes(of: path, atMost: 10) == Array("0123456789".utf8))
        #expect(error(path, atMost: 9) == "it is larger than 9 bytes")
        try Data().write(to: URL(filePath: path))
        #expect(try InputFile.bytes(of: path, .regular, atMost: 0).isEmpty)
        // Without an end.
        #expect(error("/dev/zero", atMost: 100_000) == "it is larger than 100000 bytes")
    }

    @Test func whatIsNoFileIsAnError() {
        #expect(error("\(folder)/nothing") == "No such file or directory")
        #expect(error(folder) == "Is a directory")
        #expect(error("") == "that is no name of a file")
        #expect(error("a\0b") == "that is no name of a file")
        #expect(error("/dev/null", .regular) == "it is not a regular file")
        #expect(error("/dev/null") == nil)
    }

    @Test func aPipeIsReadWhereSomebodyWrites() throws {
        let path = "\(folder)/pipe"
        let made = unsafe mkfifo(path, 0o600)
        #expect(made == 0)
        #expect(error(path) == "it is a pipe that nobody writes to")
        #expect(error(path, .regular) == "it is not a regular file")
        // The writer comes after the reader, and takes its time.
        let writer = Process()
        writer.executableURL = URL(filePath: "/bin/sh")
        writer.arguments = ["-c", "exec >'\(path)'; printf 012; sleep 0.2; printf 345"]
        try writer.run()
        #expect(try InputFile.bytes(of: path, atMost: 10) == Array("012345".utf8))
        writer.waitUntilExit()
    }
}

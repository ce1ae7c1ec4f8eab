import CustodyFiles
import CustodyOptions
import CustodyPolicy
import CustodyTrace
import Foundation

/// A controller's snapshot in a file, as JSON.
enum SnapshotFile {
    /// Writes a snapshot; whoever reads the file sees all of it or the one before.
    ///
    /// - Throws: `FileError` where it cannot be written.
    static func write(_ snapshot: ControllerSnapshot, to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        try OutputFile.write(Array(encoder.encode(snapshot)), to: path)
    }

    /// The largest file that is read, in bytes.
    static let maximumSize = 1 << 28

    /// Reads a snapshot.
    ///
    /// - Throws: `TraceError` where the file cannot be read or is no snapshot.
    static func read(_ path: String) throws(TraceError) -> ControllerSnapshot {
        let bytes: [UInt8]
        do throws(FileError) {
            bytes = try InputFile.bytes(of: path, atMost: maximumSize)
        } catch {
            throw TraceError("the file cannot be read: \(error)", file: path)
        }
        do throws(JSONError) {
            return try JSONText.decode(ControllerSnapshot.self, from: bytes)
        } catch {
            throw TraceError("no snapshot: \(error.message)", file: path, line: error.line, column: error.column)
        }
    }
}

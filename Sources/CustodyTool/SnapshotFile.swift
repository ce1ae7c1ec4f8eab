import CustodyFiles
import CustodyPolicy
import CustodyTrace
import Foundation

/// A controller's snapshot in a file, as JSON.
enum SnapshotFile {
    /// Writes a snapshot; whoever reads the file sees all of it or the one before.
    ///
    /// - Throws: `TraceError` where it cannot be written.
    static func write(_ snapshot: ControllerSnapshot, to path: String) throws(TraceError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        do {
            try OutputFile.write(Array(encoder.encode(snapshot)), to: path)
        } catch {
            throw TraceError("the snapshot cannot be written: \(error)", file: path)
        }
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
        do {
            return try JSONDecoder().decode(ControllerSnapshot.self, from: Data(bytes))
        } catch {
            throw TraceError("no snapshot: \(DecodingText.describe(error))", file: path)
        }
    }
}

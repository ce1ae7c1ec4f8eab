import ArgumentParser
import CustodyPolicy
import CustodyTrace
import Foundation

/// A controller's snapshot in a file, as JSON.
enum SnapshotFile {
    /// Writes a snapshot; whoever reads the file sees all of it or the one before.
    static func write(_ snapshot: ControllerSnapshot, to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        do {
            try encoder.encode(snapshot).write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw TraceError("the snapshot cannot be written: \(error.localizedDescription)", file: path)
        }
    }

    /// The largest file that is read, in bytes.
    private static let maximumSize = 1 << 28

    static func read(_ path: String) throws -> ControllerSnapshot {
        do {
            let file = try FileHandle(forReadingFrom: URL(filePath: path))
            defer { try? file.close() }
            let bytes = try file.read(upToCount: maximumSize + 1) ?? Data()
            guard bytes.count <= maximumSize else {
                throw TraceError("the file is larger than \(maximumSize) bytes", file: path)
            }
            return try JSONDecoder().decode(ControllerSnapshot.self, from: bytes)
        } catch let error as TraceError {
            throw error
        } catch DecodingError.dataCorrupted(let context) {
            throw TraceError("neither a snapshot nor a trace: \(context.debugDescription)", file: path)
        } catch let error as DecodingError {
            throw TraceError("neither a snapshot nor a trace: \(error)", file: path)
        } catch {
            throw TraceError("the file cannot be read: \(error.localizedDescription)", file: path)
        }
    }
}

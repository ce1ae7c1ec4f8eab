import SystemPackage

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Reads a trace line by line. The file may come from anybody: nothing in it is believed, and no line is longer than
/// ``maximumLineLength``.
///
/// A trace that was cut by size is read from its oldest file on.
public struct TraceReader: ~Copyable {
    /// A line of a trace.
    public enum Line: Sendable, Equatable {
        /// The beginning of a trace.
        case header(TraceHeader)
        /// What happened.
        case record(TraceRecord)
    }

    /// The longest line, in bytes: an ownership of a hundred thousand runs fits.
    public static let maximumLineLength = 1 << 24

    /// The file that is being read.
    public private(set) var file: String
    /// The line in the file that was read last, from 1.
    public private(set) var line = 0
    /// The torn last line of a file that was skipped, as a message with its place.
    public private(set) var tornLine: TraceError?

    private var descriptor: FileDescriptor
    private var rest: [String]
    private var buffer: [UInt8] = []
    /// What of the buffer has been read.
    private var position = 0
    private var isAtEnd = false
    private let decoder = JSONDecoder()

    /// A reader of the trace at `path`.
    ///
    /// - Throws: ``TraceError`` where it cannot be opened.
    public init(_ path: String) throws(TraceError) {
        var older: [String] = []
        while older.count < TraceReader.maximumFiles, TraceReader.exists("\(path).\(older.count + 1)") {
            older.append("\(path).\(older.count + 1)")
        }
        let first = older.last ?? path
        descriptor = try TraceReader.open(first)
        file = first
        rest = (older.dropLast().reversed() + (older.isEmpty ? [] : [path]))
    }

    deinit { try? descriptor.close() }

    /// The largest number of earlier files of one trace.
    private static let maximumFiles = 10_000

    private static func exists(_ path: String) -> Bool {
        guard let file = try? FileDescriptor.open(FilePath(path), .readOnly) else { return false }
        try? file.close()
        return true
    }

    private static func open(_ path: String) throws(TraceError) -> FileDescriptor {
        do {
            return try FileDescriptor.open(FilePath(path), .readOnly, options: [.closeOnExec])
        } catch {
            throw TraceError("the trace cannot be read: \(error)", file: path)
        }
    }

    /// The next line, or `nil` after the last whole one.
    ///
    /// - Throws: ``TraceError`` for a line that is none of a trace. What follows it can still be read.
    public mutating func next() throws(TraceError) -> Line? {
        while true {
            guard let bytes = try nextBytes() else {
                guard try openNext() else { return nil }
                continue
            }
            return try decode(bytes)
        }
    }

    private func decode(_ bytes: Data) throws(TraceError) -> Line {
        do {
            return try decoder.decode(LineForm.self, from: bytes).line
        } catch {
            throw TraceError("no line of a trace: \(TraceReader.describe(error))", file: file, line: line)
        }
    }

    /// A line as it stands in the file: a header is known by the key of its version.
    private struct LineForm: Decodable {
        let line: Line

        private enum Keys: String, CodingKey {
            case custodyTrace
        }

        init(from decoder: any Decoder) throws {
            let isHeader = try decoder.container(keyedBy: Keys.self).contains(.custodyTrace)
            line = isHeader ? .header(try TraceHeader(from: decoder)) : .record(try TraceRecord(from: decoder))
        }
    }

    private static func describe(_ error: any Error) -> String {
        func place(_ path: [any CodingKey]) -> String {
            path.isEmpty ? "" : " in ‘\(path.map(\.stringValue).joined(separator: "."))’"
        }
        switch error as? DecodingError {
        case .dataCorrupted(let context): return context.debugDescription + place(context.codingPath)
        case .keyNotFound(let key, let context): return "‘\(key.stringValue)’ is missing" + place(context.codingPath)
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            return context.debugDescription + place(context.codingPath)
        default: return "\(error)"
        }
    }

    // MARK: Bytes

    private mutating func nextBytes() throws(TraceError) -> Data? {
        var searched = position
        while true {
            if let end = endOfLine(from: searched) {
                line += 1
                defer { position = end + 1 }
                guard end - position <= TraceReader.maximumLineLength else { throw tooLong() }
                return Data(buffer[position..<end])
            }
            searched = buffer.count
            guard !isAtEnd else { break }
            if buffer.count - position > TraceReader.maximumLineLength {
                line += 1
                try skipLine()
                throw tooLong()
            }
            if position > 0 {
                buffer.removeFirst(position)
                searched -= position
                position = 0
            }
            try fill()
        }
        if position < buffer.count {
            let count = buffer.count - position
            tornLine = TraceError("the last line is torn, \(count) bytes of it are skipped", file: file, line: line + 1)
        }
        return nil
    }

    private func endOfLine(from start: Int) -> Int? {
        unsafe buffer.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress,
                let found = unsafe memchr(base + start, Int32(UInt8(ascii: "\n")), bytes.count - start)
            else { return nil }
            return unsafe UnsafeRawPointer(found) - base
        }
    }

    private func tooLong() -> TraceError {
        TraceError("the line is longer than \(TraceReader.maximumLineLength) bytes", file: file, line: line)
    }

    /// Passes over the rest of a line that is too long, without keeping it.
    private mutating func skipLine() throws(TraceError) {
        (buffer, position) = ([], 0)
        while !isAtEnd {
            try fill()
            if let end = endOfLine(from: 0) {
                position = end + 1
                return
            }
            buffer = []
        }
    }

    private mutating func fill() throws(TraceError) {
        do {
            var chunk = [UInt8](repeating: 0, count: 1 << 16)
            let count = try unsafe chunk.withUnsafeMutableBytes { unsafe try descriptor.read(into: $0) }
            buffer += chunk[..<count]
            isAtEnd = count == 0
        } catch {
            throw TraceError("the trace cannot be read: \(error)", file: file, line: line + 1)
        }
    }

    /// Goes on with the next file of the trace; `false` where there is none.
    private mutating func openNext() throws(TraceError) -> Bool {
        guard !rest.isEmpty else { return false }
        let next = rest.removeFirst()
        let opened = try TraceReader.open(next)
        try? descriptor.close()
        descriptor = opened
        file = next
        (line, buffer, position, isAtEnd) = (0, [], 0, false)
        return true
    }
}

import Custody
import CustodyFiles
import CustodyOptions

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
    /// The first header that goes on with a trace which the lines before it are not: lines are missing there.
    public private(set) var gap: TraceError?

    private var input: InputFile
    /// The files that follow, the next one last.
    private var rest: [String] = []
    private var buffer: [UInt8] = []
    /// What of the buffer has been read.
    private var position = 0
    private var isAtEnd = false
    /// The rest of a line that was too long is to be passed over.
    private var isInLongLine = false
    /// Whether there was a line, or it has been said that there was none.
    private var hasBegun = false
    /// The guest's memory by the header before, and the number of the last line.
    private var layout: GuestMemoryLayout?
    private var lastNumber: UInt64 = 0

    /// The largest number of earlier files of one trace.
    public static let maximumFiles = 10_000

    /// A reader of the trace at `path`. Where it begins with a header that goes on with an earlier file's trace, the
    /// earlier files, `FILE.1` and so on, are read before it; nothing else that stands in a trace has a file opened.
    ///
    /// - Throws: ``TraceError`` where it cannot be opened.
    public init(_ path: String) throws(TraceError) {
        // The youngest first, as the next one is taken from the end.
        var files = TraceReader.files(of: path)
        file = files.popLast() ?? path
        input = try TraceReader.open(file, files.isEmpty ? .any : .regular)
        rest = files
    }

    /// A reader of one regular file, whatever its header says.
    private init(alone path: String) throws(TraceError) {
        file = path
        input = try TraceReader.open(path, .regular)
    }

    /// The files of the trace at `path`, the youngest first.
    private static func files(of path: String) -> [String] {
        var files = [path]
        // A file that cannot be read is said to be where it is read.
        while let last = files.last, files.count <= maximumFiles {
            let older = "\(path).\(files.count)"
            guard unsafe access(older, F_OK) == 0, goesOn(last) else { break }
            files.append(older)
        }
        return files
    }

    /// Whether a file goes on with the trace of an earlier one.
    private static func goesOn(_ path: String) -> Bool {
        guard var reader = try? TraceReader(alone: path) else { return false }
        return reader.firstHeader()?.continues != nil
    }

    /// The header that the file begins with; `nil` where it begins otherwise.
    private mutating func firstHeader() -> TraceHeader? {
        // What is wrong with the first line is said where it is read.
        guard let end = try? endOfFirstLine(), let line = try? decode(Array(buffer[..<end])),
            case .header(let header) = line
        else { return nil }
        return header
    }

    private mutating func endOfFirstLine() throws(TraceError) -> Int? {
        var searched = 0
        while true {
            if let end = endOfLine(from: searched) { return end }
            searched = buffer.count
            guard !isAtEnd, buffer.count <= TraceReader.maximumLineLength else { return nil }
            try fill()
        }
    }

    private static func open(_ path: String, _ kind: InputFile.Kind) throws(TraceError) -> InputFile {
        do throws(FileError) {
            return try InputFile(path, kind)
        } catch {
            throw TraceError("the file cannot be read: \(error)", file: path)
        }
    }

    /// The next line, or `nil` after the last whole one.
    ///
    /// - Throws: ``TraceError`` for a line that is none of a trace, and once where there is no whole line at all. What follows
    ///   can still be read.
    public mutating func next() throws(TraceError) -> Line? {
        while true {
            guard let bytes = try nextBytes() else {
                if try openNext() { continue }
                guard hasBegun else {
                    hasBegun = true
                    throw TraceError("there is no trace in the file", file: file)
                }
                return nil
            }
            hasBegun = true
            let line = try decode(bytes)
            follow(line)
            return line
        }
    }

    private func decode(_ bytes: [UInt8]) throws(TraceError) -> Line {
        do throws(JSONError) {
            return try JSONText.decode(LineForm.self, from: bytes).line
        } catch {
            throw TraceError("no line of a trace: \(error.message)", file: file, line: line, column: error.column)
        }
    }

    /// Sees whether a header that goes on with a trace stands after the rest of it.
    private mutating func follow(_ line: Line) {
        switch line {
        case .record(let record): lastNumber = record.number
        case .header(let header):
            if let number = header.continues {
                let isNext = layout == header.layout && lastNumber < .max && number == lastNumber + 1
                let text =
                    layout == nil
                    ? "the beginning of the trace is missing: it was cut by size, and \(file).1 is not there"
                    : "the file does not go on where the one before it ends"
                if !isNext { gap = gap ?? TraceError(text, file: file, line: self.line) }
            } else {
                lastNumber = 0
            }
            layout = header.layout
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

    // MARK: Bytes

    private mutating func nextBytes() throws(TraceError) -> [UInt8]? {
        if isInLongLine { try skipLine() }
        var searched = position
        while true {
            if let end = endOfLine(from: searched) {
                line += 1
                defer { position = end + 1 }
                guard end - position <= TraceReader.maximumLineLength else { throw tooLong() }
                return Array(buffer[position..<end])
            }
            searched = buffer.count
            guard !isAtEnd else { break }
            if buffer.count - position > TraceReader.maximumLineLength {
                line += 1
                (buffer, position, isInLongLine) = ([], 0, true)
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
        while !isAtEnd {
            try fill()
            if let end = endOfLine(from: 0) {
                (position, isInLongLine) = (end + 1, false)
                return
            }
            buffer = []
        }
        isInLongLine = false
    }

    private mutating func fill() throws(TraceError) {
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        do throws(FileError) {
            let count = try input.read(into: &chunk)
            buffer += chunk[..<count]
            isAtEnd = count == 0
        } catch {
            throw TraceError("the file cannot be read: \(error)", file: file, line: line + 1)
        }
    }

    /// Goes on with the next file of the trace; `false` where there is none.
    private mutating func openNext() throws(TraceError) -> Bool {
        guard let next = rest.popLast() else { return false }
        input = try TraceReader.open(next, rest.isEmpty ? .any : .regular)
        file = next
        (line, buffer, position, isAtEnd) = (0, [], 0, false)
        return true
    }
}

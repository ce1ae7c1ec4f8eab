import CustodyFiles
import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A file of whole lines that only one writer appends to, or a pipe or device that lines are written to.
struct TraceFile: ~Copyable {
    private let descriptor: FileDescriptor
    /// The file's name for messages.
    private let path: String
    private let target: OutputTarget
    /// The length of what is known to be whole lines, in bytes.
    private(set) var size: Int64
    /// The number of bytes of a torn line that were at the end, and have been cut off.
    let repairedBytes: Int

    /// What the line of every header begins with: its keys are sorted.
    private static let beginning = Array(#"{"backend":"#.utf8)

    /// Opens or creates a trace. A torn last line is cut off. Symbolic links are followed.
    ///
    /// - Throws: ``TraceError`` where the file cannot be had, another writer has it, or it is no trace: it is left as it
    ///   is then.
    init(appendingTo path: String) throws(TraceError) {
        let opened: (FileDescriptor, size: Int64, torn: Int)
        let target: OutputTarget
        do {
            target = try OutputTarget(path)
            opened =
                switch target {
                case .file(let real, _): try TraceFile.open(real, path)
                case .node(let node): (try TraceFile.openNode(node), 0, 0)
                case .stream(let number): (try FileDescriptor(rawValue: number).duplicate(), 0, 0)
                }
        } catch let error as TraceError {
            throw error
        } catch {
            throw TraceError("the trace cannot be written: \(error)", file: path)
        }
        (descriptor, size) = (opened.0, opened.size)
        repairedBytes = opened.torn
        self.path = path
        self.target = target
    }

    deinit { try? descriptor.close() }

    private static func openNode(_ path: String) throws -> FileDescriptor {
        try FileDescriptor.open(
            FilePath(path),
            .writeOnly,
            options: [.append, .closeOnExec, .init(rawValue: O_NOCTTY)]
        )
    }

    private static func open(_ real: String, _ path: String) throws -> (FileDescriptor, size: Int64, torn: Int) {
        let file = try FileDescriptor.open(
            FilePath(real),
            .readWrite,
            options: [.create, .append, .closeOnExec],
            permissions: [.ownerReadWrite]
        )
        do {
            guard flock(file.rawValue, LOCK_EX | LOCK_NB) == 0 else {
                throw TraceError("another writer has this trace", file: path)
            }
            let size = try file.seek(offset: 0, from: .end)
            var head = [UInt8](repeating: 0, count: beginning.count)
            let count = try unsafe head.withUnsafeMutableBytes { unsafe try file.read(fromAbsoluteOffset: 0, into: $0) }
            guard head[..<count].elementsEqual(beginning[..<count]) else {
                throw TraceError("the file is there and is no trace; it is left as it is", file: path)
            }
            let whole = try wholeLines(file, size)
            if whole < size { try file.resize(to: whole) }
            return (file, whole, Int(size - whole))
        } catch {
            try? file.close()
            throw error
        }
    }

    /// The length of the file up to its last end of a line.
    private static func wholeLines(_ file: FileDescriptor, _ size: Int64) throws -> Int64 {
        var end = size
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while end > 0 {
            let start = max(0, end - Int64(chunk.count))
            let length = Int(end - start)
            let count = try unsafe chunk.withUnsafeMutableBytes { buffer in
                unsafe try file.read(
                    fromAbsoluteOffset: start,
                    into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<length])
                )
            }
            if let last = chunk[..<count].lastIndex(of: UInt8(ascii: "\n")) { return start + Int64(last) + 1 }
            end = start
        }
        return 0
    }

    /// Appends whole lines with one system call, where the kernel takes them in one. Where they cannot be written, none
    /// of them is left in the file.
    mutating func append(_ lines: [UInt8]) throws(TraceError) {
        do {
            try unsafe lines.withUnsafeBytes { _ = unsafe try descriptor.writeAll($0) }
            size += Int64(lines.count)
        } catch {
            // What got into the file of them is cut off again; what is left of it otherwise a reader skips.
            if case .file = target { try? descriptor.resize(to: size) }
            throw TraceError("lines could not be written: \(error)", file: path)
        }
    }

    /// Waits until everything is on the disk.
    func synchronize() throws(TraceError) {
        guard case .file = target else { return }
        guard fdatasync(descriptor.rawValue) == 0 else {
            throw TraceError("the trace may not be on the disk: \(Errno(rawValue: errno))", file: path)
        }
    }

    /// Moves the file out of the way of the next one: each earlier one becomes one older, and the oldest is given up.
    ///
    /// - Throws: ``TraceError`` where a name cannot be had, and for what is no regular file.
    func rotate(keeping: Int) throws(TraceError) {
        guard case .file(let real, _) = target else {
            throw TraceError("a pipe or a device cannot be cut by size", file: path)
        }
        for number in stride(from: keeping, to: 0, by: -1) {
            let older = "\(real).\(number)"
            let younger = number == 1 ? real : "\(real).\(number - 1)"
            guard unsafe rename(younger, older) == 0 || errno == ENOENT else {
                throw TraceError("\(younger) cannot become \(older): \(Errno(rawValue: errno))", file: path)
            }
        }
    }
}

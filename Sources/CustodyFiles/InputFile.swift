import Synchronization
import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A file that is read from its beginning. To open one never waits, whatever it is, and takes no terminal over.
package struct InputFile: ~Copyable {
    /// What may be read.
    package enum Kind: Sendable {
        /// A regular file alone: what a file, rather than a user, names.
        case regular
        /// Also a pipe or a device, which a user may name.
        case any
    }

    /// How long a named pipe may be without a writer, in milliseconds.
    private static let patience: Int32 = 2000
    /// After how many milliseconds without a byte it is said what is waited for.
    private static let silence: Int32 = 1000

    private static let notice = Mutex<@Sendable (String) -> Void>({ _ in })

    /// Names who says what is waited for: a pipe or a terminal whose writer has been silent for a second. There is no end to
    /// the wait, because a slow writer is no mistake.
    package static func onWait(_ say: @escaping @Sendable (String) -> Void) { notice.withLock { $0 = say } }

    private let path: String
    private let descriptor: FileDescriptor
    /// Whether it has been said that this one is waited for.
    private var isAnnounced = false
    /// A pipe of which nothing has been read yet.
    private var isFreshPipe: Bool

    /// Opens a file.
    ///
    /// - Throws: ``FileError``.
    package init(_ path: String, _ kind: Kind = .any) throws(FileError) {
        self.path = path
        (descriptor, isFreshPipe) = try InputFile.open(path, kind)
    }

    private static func open(_ path: String, _ kind: Kind) throws(FileError) -> (FileDescriptor, isPipe: Bool) {
        guard !path.isEmpty, !path.utf8.contains(0) else { throw FileError("that is no name of a file") }
        // A device is not opened to find out that it is one.
        let before = try unsafe status { unsafe stat(path, $0) }
        try check(before, kind)
        let descriptor: FileDescriptor
        do {
            descriptor = try FileDescriptor.open(
                FilePath(path),
                .readOnly,
                options: [.nonBlocking, .closeOnExec, .init(rawValue: O_NOCTTY)]
            )
        } catch {
            throw FileError("\(error)")
        }
        do throws(FileError) {
            let opened = try unsafe status { unsafe fstat(descriptor.rawValue, $0) }
            try check(opened, kind)
            return (descriptor, opened.st_mode & S_IFMT == S_IFIFO)
        } catch {
            try? descriptor.close()
            throw error
        }
    }

    deinit { try? descriptor.close() }

    private static func status(_ read: (UnsafeMutablePointer<stat>) -> Int32) throws(FileError) -> stat {
        var status = stat()
        guard unsafe read(&status) == 0 else { throw FileError("\(Errno(rawValue: errno))") }
        return status
    }

    private static func check(_ status: stat, _ kind: Kind) throws(FileError) {
        switch status.st_mode & S_IFMT {
        case S_IFREG: return
        case S_IFDIR: throw FileError("\(Errno.isDirectory)")
        case S_IFSOCK: throw FileError("it is a socket")
        default: if kind == .regular { throw FileError("it is not a regular file") }
        }
    }

    /// Reads the next bytes, at most as many as `buffer` has; 0 at the end. Waits for the writer of a pipe.
    ///
    /// - Throws: ``FileError``; a pipe that nobody writes to is one.
    package mutating func read(into buffer: inout [UInt8]) throws(FileError) -> Int {
        while true {
            if isFreshPipe { _ = waitForBytes(InputFile.patience) }
            do {
                let count = try unsafe buffer.withUnsafeMutableBytes { unsafe try descriptor.read(into: $0) }
                guard count > 0 || !isFreshPipe else { throw FileError("it is a pipe that nobody writes to") }
                isFreshPipe = false
                return count
            } catch let error as FileError {
                throw error
            } catch Errno.resourceTemporarilyUnavailable {
                // There is a writer, who has nothing to say yet.
                isFreshPipe = false
                waitForWriter()
            } catch {
                throw FileError("\(error)")
            }
        }
    }

    /// Waits without an end, and says so once.
    private mutating func waitForWriter() {
        guard !isAnnounced else { return _ = waitForBytes(-1) }
        guard !waitForBytes(InputFile.silence) else { return }
        isAnnounced = true
        InputFile.notice.withLock { $0 }(path)
    }

    /// Waits for so many milliseconds; returns whether there is something to read, or an end or an error of it.
    private func waitForBytes(_ milliseconds: Int32) -> Bool {
        var entry = pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&entry, 1, milliseconds) != 0
    }

    /// All bytes of a file.
    ///
    /// - Throws: ``FileError``, also where there are more than `limit`: no more is read.
    package static func bytes(
        of path: String,
        _ kind: Kind = .any,
        atMost limit: Int
    ) throws(FileError) -> [UInt8] {
        var file = try InputFile(path, kind)
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = try file.read(into: &chunk)
            guard count > 0 else { return bytes }
            guard bytes.count + count <= limit else { throw FileError("it is larger than \(limit) bytes") }
            bytes += chunk[..<count]
        }
    }
}

import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Where the bytes of a file are to go: what stands under its name, symbolic links followed.
package enum OutputTarget: Sendable, Equatable {
    /// A regular file that is there or is to be made, under its real name. `mode` is that of one that is there.
    case file(path: String, mode: UInt32?)
    /// A device or a pipe: it is written in place.
    case node(path: String)
    /// What is open as this process's standard output or error, by its descriptor: it is written where that stands.
    case stream(Int32)

    /// The largest number of symbolic links on the way, as for the kernel.
    private static let maximumLinks = 40

    /// Finds out what stands under `path`.
    ///
    /// - Throws: ``FileError`` where it is a directory or a socket, or cannot be found out.
    package init(_ path: String) throws(FileError) {
        guard !path.isEmpty, !path.utf8.contains(0) else { throw FileError("that is no name of a file") }
        var status = stat()
        guard unsafe stat(path, &status) == 0 else {
            guard errno == ENOENT else { throw FileError("\(Errno(rawValue: errno))") }
            self = .file(path: try OutputTarget.end(of: path), mode: nil)
            return
        }
        switch status.st_mode & S_IFMT {
        case S_IFREG:
            if let number = OutputTarget.standardStream(status) {
                self = .stream(number)
                return
            }
            guard let real = unsafe realpath(path, nil) else { throw FileError("\(Errno(rawValue: errno))") }
            defer { unsafe free(real) }
            self = .file(path: unsafe String(cString: real), mode: status.st_mode & 0o7777)
        case S_IFDIR: throw FileError("\(Errno.isDirectory)")
        case S_IFSOCK: throw FileError("it is a socket")
        default: self = .node(path: path)
        }
    }

    private static func standardStream(_ status: stat) -> Int32? {
        [STDOUT_FILENO, STDERR_FILENO].first { number in
            var open = stat()
            return unsafe fstat(number, &open) == 0 && open.st_dev == status.st_dev && open.st_ino == status.st_ino
        }
    }

    /// The real name of a file that is not there; as it is given where its directory is not there either.
    private static func realName(_ path: FilePath) -> String {
        let folder = path.removingLastComponent()
        guard let name = path.lastComponent, let real = unsafe realpath(folder.isEmpty ? "." : folder.string, nil)
        else {
            return path.string
        }
        defer { unsafe free(real) }
        return FilePath(unsafe String(cString: real)).appending(name).string
    }

    /// The name that a chain of symbolic links to nothing ends in.
    private static func end(of path: String) throws(FileError) -> String {
        var path = FilePath(path)
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        for _ in 0..<maximumLinks {
            let count = unsafe readlink(path.string, &buffer, buffer.count)
            guard count >= 0 else { return realName(path) }
            let target = FilePath(String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self))
            path = path.removingLastComponent().pushing(target)
        }
        throw FileError("\(Errno.tooManySymbolicLinkLevels)")
    }
}

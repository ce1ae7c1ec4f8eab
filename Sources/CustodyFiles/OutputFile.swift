import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Writes whole files.
package enum OutputFile {
    /// Puts `bytes` under a name.
    ///
    /// A regular file is replaced by renaming: whoever reads it, and whatever happens to the machine, sees all of the new
    /// bytes or all of those before. It keeps its mode. Anything else is written in place. Symbolic links are followed.
    ///
    /// - Throws: ``FileError``; a regular file is as it was then.
    package static func write(_ bytes: [UInt8], to path: String) throws(FileError) {
        switch try OutputTarget(path) {
        case .node(let path): try writeInPlace(bytes, path)
        case .stream(let number):
            do { _ = try FileDescriptor(rawValue: number).writeAll(bytes) } catch { throw FileError("\(error)") }
        case .file(let path, let mode): try replace(path, with: bytes, mode)
        }
    }

    /// Removes the regular file under a name, where there is one. Symbolic links are followed, and stay.
    ///
    /// - Throws: ``FileError``.
    package static func remove(_ path: String) throws(FileError) {
        guard case .file(let path, _?) = try OutputTarget(path) else { return }
        guard unsafe unlink(path) == 0 || errno == ENOENT else { throw FileError("\(Errno(rawValue: errno))") }
    }

    private static func writeInPlace(_ bytes: [UInt8], _ path: String) throws(FileError) {
        do {
            let node = try FileDescriptor.open(
                FilePath(path),
                .writeOnly,
                options: [.append, .closeOnExec, .init(rawValue: O_NOCTTY)]
            )
            try node.closeAfter { _ = try node.writeAll(bytes) }
        } catch {
            throw FileError("\(error)")
        }
    }

    private static func replace(_ path: String, with bytes: [UInt8], _ mode: UInt32?) throws(FileError) {
        let target = FilePath(path)
        let folder = target.removingLastComponent()
        do {
            let (file, name) = try create(beside: target)
            do {
                try file.closeAfter {
                    _ = try file.writeAll(bytes)
                    if let mode { try check(fchmod(file.rawValue, mode)) }
                    // The bytes are on the disk before the name is theirs.
                    try check(fsync(file.rawValue))
                }
                try check(unsafe rename(name.string, path))
            } catch {
                _ = unsafe unlink(name.string)
                throw error
            }
            let directory = try FileDescriptor.open(
                folder.isEmpty ? "." : folder,
                .readOnly,
                options: [.directory, .closeOnExec]
            )
            try directory.closeAfter { try check(fsync(directory.rawValue), unless: .invalidArgument) }
        } catch {
            throw FileError("\(error)")
        }
    }

    /// A new file in the folder of `target`, which nobody else has.
    private static func create(beside target: FilePath) throws -> (FileDescriptor, FilePath) {
        let folder = target.removingLastComponent()
        while true {
            let name = folder.appending(".custody-\(getpid())-\(String(UInt64.random(in: .min ... .max), radix: 36))")
            do {
                let file = try FileDescriptor.open(
                    name,
                    .writeOnly,
                    options: [.create, .exclusiveCreate, .closeOnExec],
                    permissions: FilePermissions(rawValue: 0o666)
                )
                return (file, name)
            } catch Errno.fileExists {
                continue
            }
        }
    }

    private static func check(_ result: Int32, unless accepted: Errno? = nil) throws(Errno) {
        guard result != 0 else { return }
        let error = Errno(rawValue: errno)
        if error != accepted { throw error }
    }
}

#if Libvirt
import Glibc

/// A system call that failed.
public struct HostError: Error, Sendable, Hashable {
    /// The call.
    public let call: String
    /// The file, or what else it was about.
    public let subject: String
    /// What the kernel said: an errno.
    public let errno: Int32
}

extension HostError: CustomStringConvertible {
    /// Call, subject and errno in one line.
    public var description: String {
        let text = unsafe strerror(errno).map { unsafe String(cString: $0) } ?? "error"
        return "\(call)(\(subject)): \(text) (errno \(errno))"
    }
}

extension CallGate {
    /// Makes a system call that returns −1 where it fails; an interrupted one is made again.
    @discardableResult
    func host(_ call: HostCall, _ subject: String, _ body: () -> Int) throws(HostError) -> Int {
        if let code = refusal(of: .host(call)) { throw HostError(call: call.rawValue, subject: subject, errno: code) }
        var result = body()
        while result == -1, errno == EINTR { result = body() }
        guard result != -1 else { throw HostError(call: call.rawValue, subject: subject, errno: errno) }
        if let code = failure(after: .host(call)) {
            throw HostError(call: call.rawValue, subject: subject, errno: code)
        }
        return result
    }

    /// Takes a name away; one that is not there is no error.
    func remove(_ path: String) throws(HostError) {
        do throws(HostError) {
            try host(.unlink, path) { unsafe Int(unlink(path)) }
        } catch {
            guard error.errno == ENOENT else { throw error }
        }
    }

    /// Writes a small file, so that there is either the one before or this one, whole.
    func replace(_ path: String, with text: String) throws(HostError) {
        try replace(path, with: Array(text.utf8))
    }

    /// Writes a file, so that there is either the one before or this one, whole; `mode` says who may read it.
    func replace(_ path: String, with content: [UInt8], mode: mode_t = 0o600) throws(HostError) {
        let temporary = "\(path).\(getpid())-\(UInt32.random(in: 0...(.max))).new"
        let descriptor = try OwnedFile(
            temporary,
            flags: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
            mode: 0o600,
            gate: self
        )
        do throws(HostError) {
            var bytes = content[...]
            while !bytes.isEmpty {
                let chunk = Array(bytes)
                let written = try host(.write, temporary) {
                    unsafe chunk.withUnsafeBytes {
                        unsafe write(descriptor.rawValue, $0.baseAddress, $0.count)
                    }
                }
                bytes = bytes.dropFirst(written)
            }
            // Whatever this process's mask takes away.
            try host(.mode, temporary) { Int(fchmod(descriptor.rawValue, mode)) }
            try host(.sync, temporary) { Int(fsync(descriptor.rawValue)) }
            try host(.rename, path) { unsafe Int(rename(temporary, path)) }
        } catch {
            unsafe unlink(temporary)
            throw error
        }
    }
}

#endif

import Custody

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// One end of a connected stream socket. One thread may receive while others send; whoever has it shuts it down to wake
/// them up, and it is closed when nobody has it any more.
final class ChannelSocket: Sendable {
    private static let sendFlags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)

    private let descriptor: Int32

    /// Takes over a connected descriptor.
    init(adopting descriptor: Int32) { self.descriptor = descriptor }

    /// Connects to the socket of that path.
    ///
    /// - Throws: `BackendError` with code `unavailable`, and the errno.
    init(path: String) throws(BackendError) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        let room = MemoryLayout.size(ofValue: address.sun_path)
        guard bytes.count < room, !bytes.contains(0) else {
            throw BackendError(.invalidArgument, "a socket's path has less than \(room) bytes: ‘\(path)’")
        }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else {
            throw BackendError(.resourcesExhausted, "no socket could be made (errno \(errno))")
        }
        let status = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard status == 0 else {
            let number = errno
            let reason = unsafe strerror(number).map { unsafe String(cString: $0) } ?? "error"
            throw BackendError(.unavailable, "nobody answers at ‘\(path)’ (connect: \(reason), errno \(number))")
        }
    }

    deinit { close(descriptor) }

    /// Ends both directions; whoever sleeps in a call wakes up.
    func shutDown() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// Sleeps until there are bytes, and takes as many as fit; none at the stream's end or after ``shutDown()``.
    func receive(upTo capacity: Int) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
            var received: Int
            repeat {
                unsafe received = recv(descriptor, buffer.baseAddress, capacity, 0)
            } while received < 0 && errno == EINTR
            count = max(received, 0)
        }
    }

    /// Sleeps until there are bytes, or the stream's end, for so long at most.
    ///
    /// - Returns: `false` where there are none by then.
    func isReadable(within patience: Duration) -> Bool {
        isReady(Int16(POLLIN), before: ContinuousClock.now + patience)
    }

    /// Sends bytes as long as the other end has room for them, which is waited for, for so long at most.
    ///
    /// - Returns: how many it has taken; `nil` where it is gone.
    func transmit(_ bytes: ArraySlice<UInt8>, within patience: Duration) -> Int? {
        var rest = bytes
        let deadline = ContinuousClock.now + patience
        while !rest.isEmpty {
            let sent = unsafe rest.withUnsafeBytes {
                unsafe send(descriptor, $0.baseAddress, $0.count, ChannelSocket.sendFlags)
            }
            if sent > 0 {
                rest = rest.dropFirst(sent)
                continue
            }
            guard errno == EINTR || errno == EAGAIN else { return nil }
            guard isReady(Int16(POLLOUT), before: deadline) else { break }
        }
        return bytes.count - rest.count
    }

    /// Sleeps until the other end has room for bytes, or is gone, for so long at most.
    ///
    /// - Returns: `false` where it has none by then.
    func isWritable(within patience: Duration) -> Bool {
        isReady(Int16(POLLOUT), before: ContinuousClock.now + patience)
    }

    private func isReady(_ event: Int16, before deadline: ContinuousClock.Instant) -> Bool {
        while true {
            let left = max(deadline - ContinuousClock.now, .zero)
            var request = pollfd(fd: descriptor, events: event, revents: 0)
            let (seconds, attoseconds) = left.components
            let milliseconds = seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
            if unsafe poll(&request, 1, Int32(clamping: milliseconds)) > 0 { return true }
            guard left > .zero else { return false }
        }
    }
}

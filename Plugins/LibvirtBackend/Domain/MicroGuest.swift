#if Libvirt
import CLibvirtGuest
package import Custody
import Glibc
import Synchronization

/// A guest that boots nothing and answers requests to let devices go, and the wire by which it is told how.
package final class MicroGuest: Sendable {
    /// What the guest answers when it is asked to let a device go.
    package enum Answer: UInt8, Sendable, Hashable, CaseIterable {
        /// It lets the device go.
        case accept = 0x61
        /// It refuses.
        case refuse = 0x72
        /// It says nothing. This is how it begins.
        case ignore = 0x69
    }

    /// The firmware image: 64 KiB, or nothing on a processor that it is not written for.
    package static var image: [UInt8] {
        guard let start = unsafe clibvirt_guest_image() else { return [] }
        return unsafe [UInt8](UnsafeRawBufferPointer(start: start, count: clibvirt_guest_image_size()))
    }

    private let path: String
    private let descriptor: Mutex<Int32>

    /// Connects to the socket of the guest's first serial port. QEMU takes one connection at a time.
    package init(socket path: String) throws(BackendError) {
        self.path = path
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard descriptor >= 0, bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw BackendError(.system, "no socket can be had for \(path)")
        }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        let status = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard status == 0 else {
            let cause = HostError(call: "connect", subject: path, errno: errno)
            close(descriptor)
            throw BackendError(.guestFailed, "the guest's serial port does not answer", cause: cause)
        }
        self.descriptor = Mutex(descriptor)
    }

    deinit { _ = close(descriptor.withLock { $0 }) }

    /// Tells the guest what to answer from now on, and waits until it has understood.
    ///
    /// - Throws: `BackendError` with code `guestFailed` where it does not say so within `timeout`.
    package func answer(_ answer: Answer, timeout: Duration = .seconds(10)) throws(BackendError) {
        try descriptor.withLock { descriptor throws(BackendError) in
            var command = answer.rawValue
            guard unsafe send(descriptor, &command, 1, Int32(MSG_NOSIGNAL)) == 1 else {
                throw BackendError(.guestFailed, "the guest's serial port is closed")
            }
            let clock = ContinuousClock()
            let end = clock.now + timeout
            while clock.now < end {
                var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                guard unsafe poll(&waiting, 1, 100) > 0 else { continue }
                var said: UInt8 = 0
                guard unsafe recv(descriptor, &said, 1, 0) == 1 else {
                    throw BackendError(.guestFailed, "the guest's serial port is closed")
                }
                if said == answer.rawValue & 0xdf { return }
            }
            throw BackendError(.guestFailed, "the guest does not answer on its serial port")
        }
    }
}

#endif

import Custody
import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A socket with a path that guests' ends come from, as an emulator's.
final class GuestListener: Sendable {
    let path = FileManager.default.temporaryDirectory.appending(path: "custody-\(UUID().uuidString.prefix(8))").path
    private let descriptor: Int32

    init() throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
        let status = unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard status == 0, listen(descriptor, 8) == 0 else { throw BackendError(.system, "listen: errno \(errno)") }
    }

    deinit { end() }

    /// The next guest's end, when somebody has connected.
    func next() throws -> GuestEnd {
        let guest = accept(descriptor, nil, nil)
        guard guest >= 0 else { throw BackendError(.system, "accept: errno \(errno)") }
        return GuestEnd(guest)
    }

    /// Listens no more.
    func end() {
        shutdown(descriptor, Int32(SHUT_RDWR))
        unsafe _ = unlink(path)
    }
}

#if Libvirt
import Foundation
import Glibc
import GuestChannel
import Testing

@testable import LibvirtBackend

/// The root that the tests of this process share: libvirt's driver takes one for a process.
///
/// `CUSTODY_LIBVIRT_ROOT` names a directory that stays, so that the driver's slow first look at QEMU is made once; else
/// there is one for each process. Domains have names of their own.
enum TestRoot {
    static let root = EmbeddedRoot(
        ProcessInfo.processInfo.environment["CUSTODY_LIBVIRT_ROOT"] ?? "/tmp/custody-lv-\(getpid())"
    )

    /// A connection to the driver.
    static func connect(_ gate: any CallGate = OpenGate()) throws -> Connection {
        try root.prepare()
        return try Connection.open(root.uri, gate: gate)
    }

    /// The micro guest's image, in the root.
    static func firmware() throws -> String {
        let path = root.path + "/micro-\(getpid()).bin"
        if !FileManager.default.fileExists(atPath: path) {
            try Data(MicroGuestImage.bytes()).write(to: URL(filePath: path), options: .atomic)
        }
        return path
    }
}

#endif

#if Libvirt
import Glibc
import Testing

@testable import LibvirtBackend

/// Who has a root of libvirt's driver, by the kernel's list of locks.
@Suite(.timeLimit(.minutes(60))) struct RootLockTests {
    private static let list = """
        1: POSIX  ADVISORY  WRITE 4711 00:1b:1234 0 0
        2: FLOCK  ADVISORY  WRITE 4712 00:1b:99 0 EOF
        3: POSIX  ADVISORY  READ  4713 00:1b:77 0 EOF
        4: POSIX  ADVISORY  WRITE 0 103:200:5 0 EOF
        5: -> POSIX ADVISORY WRITE 4714 00:1b:55 0 0

        """

    /// A device number as makedev(3) makes it.
    private func device(_ major: dev_t, _ minor: dev_t) -> dev_t {
        (major & 0xFFF) << 8 | minor & 0xFF | (minor & ~0xFF) << 12
    }

    @Test func theHolderOfAWriteLockIsFound() {
        func holder(_ device: dev_t, _ inode: ino_t) -> Int32? {
            RootLock.process(holding: device, inode, in: Self.list)
        }
        #expect(holder(device(0, 0x1b), 1234) == 4711)
        #expect(holder(device(0, 0x1b), 99) == nil, "another kind of lock")
        #expect(holder(device(0, 0x1b), 77) == nil, "shared")
        #expect(holder(device(0, 0x1b), 55) == nil, "merely waiting")
        #expect(holder(device(0, 0x1c), 1234) == nil)
        #expect(holder(device(0x103, 0x200), 5) == 0, "a process of another namespace")
    }

    /// What this process has itself is nobody else's, and what is not there is nobody's.
    @Test func oursIsNobodyElses() throws {
        #expect(try RootLock.holder(of: "/nonexistent", OpenGate()) == nil)
        _ = try TestRoot.connect()
        #expect(try RootLock.holder(of: TestRoot.root.path, OpenGate()) == nil)
    }
}

#endif

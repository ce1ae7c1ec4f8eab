#if Libvirt
import Testing

@testable import LibvirtBackend

/// Where our files are, by where QEMU says that its own are.
@Suite struct MemoryFoldersTests {
    @Test(arguments: [
        ("/dev/shm/lv/libvirt/qemu/1-a/ram-node0", "/dev/shm/lv/libvirt/qemu/1-a", "/dev/shm/lv/custody"),
        ("/var/lib/qemu/ram/1-a/ram-node0", "/var/lib/qemu/ram/1-a", "/var/lib/qemu/ram/custody"),
        ("/libvirt/qemu/1-a/ram-node0", "/libvirt/qemu/1-a", "/custody"),
    ])
    func oursAreBesideLibvirts(base: String, libvirt: String, custody: String) throws {
        let folders = try #require(MemoryFolders(baseMemory: base, domain: "a", uuid: "7", owner: .current))
        #expect(folders.libvirt == libvirt)
        #expect(folders.custody == custody)
        #expect(folders.ours == custody + "/a-7")
        #expect(folders.path(of: 3) == custody + "/a-7/3")
    }

    @Test(arguments: ["", "/ram-node0", "/a/ram-node0", "a/b/ram-node0", "/a/b/memfd", "/a/b/ram-node1"])
    func whatHasNoNameOfItsOwnHasNoFolders(base: String) {
        #expect(MemoryFolders(baseMemory: base, domain: "a", uuid: "7", owner: .current) == nil)
    }
}
#endif

#if Libvirt
import CLibvirt
import Custody
import CustodyPolicy
import Foundation
import Glibc
import Testing

@testable import LibvirtBackend

/// What another manager of libvirt's does to a domain, as virsh(1) would: the file that is guarded is the guest's, or nothing is.
@Suite(.timeLimit(.minutes(60))) struct OtherManagerTests {
    /// Another manager's handles.
    private static func manage(_ name: String, _ body: (OpaquePointer, OpaquePointer) -> Int32) throws {
        let connection = try TestRoot.connect()
        let domain = try unsafe #require(unsafe virDomainLookupByName(connection.pointer, name))
        defer { unsafe virDomainFree(domain) }
        let status = unsafe body(connection.pointer, domain)
        if status < 0 { throw VirError(last: .state) }
    }

    /// `virsh save` and `virsh restore`.
    private static func saveAndRestore(_ name: String) throws {
        let image = TestRoot.root.path + "/\(name).saved"
        defer { unsafe _ = unlink(image) }
        try unsafe manage(name) { _, domain in unsafe virDomainSave(domain, image) }
        let connection = try TestRoot.connect()
        let status = unsafe virDomainRestore(connection.pointer, image)
        if status < 0 { throw VirError(last: .create) }
    }

    private static func inode(_ path: String) throws -> String {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { throw HostError(call: "stat", subject: path, errno: errno) }
        return "inode \(status.st_ino)"
    }

    /// A guest that is restored has new files. The back end that had the old ones is lost, and stays so.
    @Test func aRestoredGuestIsAnother() throws {
        let live = try LiveGuest("restored", initial: .shared)
        try live.convert(live.module(), to: .private)
        #expect(try live.perform(.write([7], to: live.module().address)) == .written)
        let emulator = live.backend.emulator
        try OtherManagerTests.saveAndRestore(live.name)
        for target in [Ownership.shared, .host] {
            let error = #expect(throws: ConversionError.self) { try live.convert(live.module(), to: target) }
            #expect(error?.cause?.code == .lost)
        }
        #expect(try !live.backend.domain.reconnect())
        #expect(!LiveGuest.isAlive(emulator))
    }

    /// One that comes after the restore finds the old file, and the guest with another one: both are named, and nothing is
    /// guarded.
    @Test func aRestoredGuestIsNotGoneOnWith() throws {
        let first = try LiveGuest("restored-later", initial: .shared, isOwner: false)
        let path = first.backend.folders.path(of: 0)
        let ours = try OtherManagerTests.inode(path)
        first.backend.abandon()
        try OtherManagerTests.saveAndRestore(first.name)
        let error = #expect(throws: BackendError.self) { _ = try LiveGuest("restored-later", initial: .shared) }
        #expect(error?.code == .lost)
        let message = error?.message ?? ""
        for part in [ours, "has inode", "‘fresh: true’"] { #expect(message.contains(part), "\(message)") }
        let second = try LiveGuest("restored-later") { $0.startsFresh = true }
        #expect(second.ownership == [.host])
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    /// Another manager has the guest give a module back, and plugs in one of another file at its place: by the events, and by what
    /// there is after a connection was lost with them.
    @Test(arguments: [true, false])
    func aModuleOfAnotherFileIsNoticed(byEvents: Bool) throws {
        let live = try LiveGuest("replugged-\(byEvents)", initial: .shared)
        try live.answerRemovals(.accept)
        let module = live.backend.modules[0]
        let (device, alias) = (module.device.text, module.alias)
        let ours = try OtherManagerTests.inode(module.file.path)
        var standstill = byEvents ? nil : Standstill(live.backend)
        let affectLive = UInt32(VIR_DOMAIN_AFFECT_LIVE.rawValue)
        try unsafe OtherManagerTests.manage(live.name) { _, domain in
            unsafe virDomainDetachDeviceAlias(domain, alias, affectLive)
        }
        #expect(LiveGuest.waits { try live.plugged() == [] })
        if byEvents { #expect(LiveGuest.waits { live.ownership == [.host] }) }
        try unsafe OtherManagerTests.manage(live.name) { _, domain in
            unsafe virDomainAttachDeviceFlags(domain, device, affectLive)
        }
        if !byEvents {
            let isMissed = LiveGuest.waits {
                live.backend.domain.events.takeAll().contains { $0.kind == .deviceAdded(alias) }
            }
            #expect(isMissed)
            live.backend.executor.submit { [backend = live.backend] in backend.reconnect(after: .zero) }
        }
        standstill = nil
        _ = standstill
        var refusal: BackendError?
        let isLost = LiveGuest.waits {
            refusal = live.backend.ledger.withLock { $0.lost }
            return refusal != nil
        }
        #expect(isLost)
        let message = refusal?.message ?? ""
        #expect(refusal?.code == .lost)
        #expect(message.contains(ours), "\(message)")
        #expect(message.contains("QEMU (pid \(live.backend.emulator)) has inode"), "\(message)")
        let error = #expect(throws: ConversionError.self) { try live.convert(live.module(), to: .private) }
        #expect(error?.cause?.code == .lost)
    }
}
#endif

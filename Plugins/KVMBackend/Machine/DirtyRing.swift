import CKVM
import Custody

/// A processor's ring of pages that it has written (`KVM_CAP_DIRTY_LOG_RING_ACQ_REL`).
///
/// The kernel puts entries in and marks them dirty; this process takes them out in their order and marks them to be reset.
/// `KVM_RESET_DIRTY_RINGS` protects their pages again and frees the entries.
final class DirtyRing: Sendable {
    /// The size of a ring of so many entries.
    static func bytes(_ entries: Int) -> Int { entries * MemoryLayout<ckvm_dirty_gfn>.size }

    private let map: MappedMemory
    private let entries: Int
    private let next = Locked(0)

    init(of processor: borrowing OwnedDescriptor, entries: Int) throws(KVMError) {
        map = try MappedMemory(
            processor.rawValue,
            length: UInt64(DirtyRing.bytes(entries)),
            offset: UInt64(CKVM_DIRTY_RING_PAGE_OFFSET) * 4096,
            kernel: processor.kernel
        )
        self.entries = entries
    }

    /// Takes the entries out that are there, at most a ring of them.
    func drain(_ body: (_ slot: UInt32, _ page: UInt64) -> Void) {
        next.withLock { next in
            for _ in 0..<entries {
                let address = map.address + UInt(next * MemoryLayout<ckvm_dirty_gfn>.size)
                guard let entry = unsafe UnsafeMutablePointer<ckvm_dirty_gfn>(bitPattern: address),
                    unsafe ckvm_load_flags(&entry.pointee.flags) & UInt32(CKVM_DIRTY_GFN_DIRTY) != 0
                else { return }
                // Address-space number in the upper half; there is one.
                unsafe body(entry.pointee.slot & 0xFFFF, entry.pointee.offset)
                unsafe ckvm_store_flags(&entry.pointee.flags, UInt32(CKVM_DIRTY_GFN_RESET))
                next = (next + 1) % entries
            }
        }
    }
}

import CKVM
import SystemPackage

@testable import KVMBackend

/// A processor's ring of dirty pages, from the kernel's side.
struct FakeRing: Sendable {
    /// Where the fake kernel has it; user space maps the same pages of the processor's descriptor.
    let address: UInt
    let entries: Int
    private var next = 0
    private var first = 0

    init(address: UInt, entries: Int) {
        self.address = address
        self.entries = entries
    }

    /// Whether the processor has to leave the guest before it writes any further.
    var isFull: Bool { next - first >= entries - FakeFeatures.reservedRingEntries }

    /// Puts an entry in.
    mutating func push(_ slot: UInt32, _ page: UInt64) {
        let entry = ckvm_dirty_gfn(flags: UInt32(CKVM_DIRTY_GFN_DIRTY), slot: slot, offset: page)
        _ = unsafe withUnsafeBytes(of: entry) { unsafe FakeAccess.put(Array($0), at: place(of: next)) }
        next += 1
    }

    /// Takes the entries out that user space has given back.
    mutating func reset() -> [(slot: UInt32, page: UInt64)] {
        var pages: [(UInt32, UInt64)] = []
        while first < next {
            var entry = ckvm_dirty_gfn()
            let size = MemoryLayout<ckvm_dirty_gfn>.size
            guard FakeAccess.copy(from: place(of: first), count: size, to: &entry),
                entry.flags & UInt32(CKVM_DIRTY_GFN_RESET) != 0
            else { break }
            pages.append((entry.slot, entry.offset))
            _ = FakeAccess.put([0, 0, 0, 0], at: place(of: first))
            first += 1
        }
        return pages
    }

    private func place(of index: Int) -> UInt {
        address + UInt((index % entries) * MemoryLayout<ckvm_dirty_gfn>.size)
    }
}

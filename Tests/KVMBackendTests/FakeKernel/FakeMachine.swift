import CKVM
import SystemPackage

/// A virtual machine: its slots, and for each page the attribute that its user has set.
struct FakeMachine: Sendable {
    /// A memory slot.
    struct Slot: Sendable, Equatable {
        var flags: UInt32
        var guestAddress: UInt64
        var size: UInt64
        var userAddress: UInt64
        /// The guest_memfd and the offset in it, in bytes.
        var file: Int?
        var offset: UInt64 = 0
        /// Whether the guest_memfd serves shared accesses too (`KVM_MEMSLOT_GMEM_ONLY`): it can be mapped, or has
        /// attributes of its own.
        var servesEveryAccess = false
        /// The pages, from the slot's first on, that have been written since they were last protected.
        var written: Set<UInt64> = []

        var logs: Bool { flags & UInt32(CKVM_MEM_LOG_DIRTY_PAGES) != 0 }
        var isReadOnly: Bool { flags & UInt32(CKVM_MEM_READONLY) != 0 }
        var pageCount: UInt64 { size / UInt64(FakeFile.page) }
        var end: UInt64 { guestAddress + size }

        func overlaps(_ address: UInt64, _ size: UInt64) -> Bool { address < end && guestAddress < address + size }
    }

    /// What a guest itself takes a page for, where it does not just follow the attribute: an encrypted guest has a bit in
    /// its own page tables.
    enum View: Sendable { case shared, `private` }

    let type: UInt
    var slots: [UInt32: Slot] = [:]
    /// The pages with the private attribute of the machine.
    var privatePages: Set<UInt64> = []
    var views: [UInt64: View] = [:]
    var processors: Set<UInt> = []
    /// Whether this process protects pages again itself, after it has read the bitmap.
    var isProtectionManual = false
    /// The entries of each processor's ring of dirty pages; zero where there is a bitmap instead.
    var ringEntries = 0
    /// The hypercalls that are passed on to user space.
    var passedHypercalls: UInt64 = 0
    var descriptors = 1

    var hasPrivateMemory: Bool { type != 0 }

    /// Notes that a page was written to.
    ///
    /// - Returns: its slot and its place in it, where that has not been noted yet.
    mutating func write(_ address: UInt64) -> (slot: UInt32, page: UInt64)? {
        guard let number = slots.first(where: { address >= $1.guestAddress && address < $1.end })?.key,
            let slot = slots[number], slot.logs
        else { return nil }
        let page = (address - slot.guestAddress) / UInt64(FakeFile.page)
        guard slots[number]?.written.insert(page).inserted == true else { return nil }
        return (number, page)
    }

    func slot(at address: UInt64) -> Slot? {
        slots.values.first { address >= $0.guestAddress && address < $0.end }
    }
}

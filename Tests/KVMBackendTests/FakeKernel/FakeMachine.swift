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
    var descriptors = 1

    var hasPrivateMemory: Bool { type != 0 }

    func slot(at address: UInt64) -> Slot? {
        slots.values.first { address >= $0.guestAddress && address < $0.end }
    }
}

import CKVM
import Custody

/// The memory slot that the guest program lives in: page tables, code, and one mailbox for each processor.
///
/// It is host memory, not part of the guest's RAM, and has no ownership. ``BootSlot`` says when the guest finds it.
final class BootMemory: Sendable {
    /// Where the slot is and how far its page tables reach.
    struct Placement: Sendable, Hashable {
        /// The slot's guest-physical address, in bytes.
        let address: UInt64
        /// The slot's size in bytes.
        let size: UInt64
        /// How much memory the guest program can address, in GiB from address 0: one page directory each.
        let gibibytes: UInt64
        /// The tables of those directories, 512 in each.
        let pointerTables: UInt64

        /// A slot whose tables reach an address: the root, the two levels below it, the program, and the mailboxes.
        init(address: UInt64, reaching end: UInt64, processors: Int) {
            self.address = address
            gibibytes = (end + gibibyte - 1) / gibibyte
            pointerTables = (gibibytes + 511) / 512
            size = (1 + pointerTables + gibibytes + 1 + UInt64(clamping: processors)) * page
        }
    }

    private static let page = PageSize.base.bytes
    private static let gibibyte = PageSize.huge.bytes

    /// How far from address 0 RAM may reach, in bytes: an address of user space has 47 bits on x86-64 with four levels of page
    /// tables.
    static let maximumReach: UInt64 = 1 << 47

    /// The slot's place.
    let placement: Placement
    /// The slot's memory.
    let map: MappedMemory

    /// Reserves memory for a slot at `placement`; ``fill()`` is yet to come.
    init(_ placement: Placement, kernel: any Kernel) throws(KVMError) {
        self.placement = placement
        map = try MappedMemory(nil, length: placement.size, kernel: kernel)
    }

    /// Puts page tables and program in.
    func fill() {
        guard let start = unsafe UnsafeMutableRawPointer(bitPattern: map.address) else { return }
        // Present, writable, user (7); in a page directory entry also 2 MiB page (0x80).
        let tables = unsafe start.assumingMemoryBound(to: UInt64.self)
        let entries = Int(BootMemory.page) / 8
        let pointers = Int(placement.pointerTables)
        for index in 0..<pointers {
            unsafe tables[index] = (placement.address + (1 + UInt64(index)) * BootMemory.page) | 7
        }
        let directories = placement.address + (1 + placement.pointerTables) * BootMemory.page
        for index in 0..<Int(placement.gibibytes) {
            unsafe tables[entries + index] = (directories + UInt64(index) * BootMemory.page) | 7
        }
        for index in 0..<Int(placement.gibibytes) * entries {
            unsafe tables[(1 + pointers) * entries + index] = UInt64(index) * PageSize.large.bytes | 0x87
        }
        guard let program = unsafe ckvm_guest_program() else { return }
        unsafe (start + Int(codeOffset)).copyMemory(from: program, byteCount: ckvm_guest_program_size())
    }

    /// Finds a place beside the guest's RAM: below it from address 0, or else above it.
    ///
    /// - Throws: `BackendError` with code `unsupported` where page tables cannot reach that far.
    static func placement(beside layout: GuestMemoryLayout, processors: Int) throws(BackendError) -> Placement {
        let bounds = layout.bounds
        let end = bounds.end.multipliedReportingOverflow(by: page)
        guard !end.overflow, end.partialValue <= maximumReach - 4 * gibibyte else {
            throw BackendError(
                .unsupported,
                "the guest's program reaches memory below \(ByteCount(maximumReach)) only; move or shrink the guest's RAM",
                range: bounds
            )
        }
        let below = Placement(address: 0, reaching: end.partialValue, processors: processors)
        if bounds.address.rawValue >= below.size { return below }
        let large = PageSize.large.bytes
        var address = (end.partialValue + large - 1) / large * large
        // The last GiB below 4 GiB is for devices.
        if address + 4 * large > 3 * gibibyte, address < 4 * gibibyte { address = 4 * gibibyte }
        // The slot is behind what its own tables have to reach.
        var placement = Placement(address: address, reaching: address, processors: processors)
        while address + placement.size > placement.gibibytes * gibibyte {
            placement = Placement(
                address: address,
                reaching: placement.gibibytes * gibibyte + 1,
                processors: processors
            )
        }
        return placement
    }

    /// The slot's pages.
    var range: PageRange {
        PageRange(uncheckedStart: placement.address / BootMemory.page, count: placement.size / BootMemory.page)
    }

    private var codeOffset: UInt64 { (1 + placement.pointerTables + placement.gibibytes) * BootMemory.page }

    /// The guest-physical address of the page tables' root.
    var pageTable: UInt64 { placement.address }

    /// The guest-physical address of the program's first instruction.
    var program: UInt64 { placement.address + codeOffset }

    /// How many bytes from address 0 the guest program can address.
    var reach: UInt64 { placement.gibibytes * BootMemory.gibibyte }

    /// The guest-physical address of a processor's mailbox.
    func mailboxAddress(of processor: Int) -> UInt64 { placement.address + mailboxOffset(of: processor) }

    /// A processor's mailbox, or `nil` for a processor that there is no room for.
    func mailbox(of processor: Int) -> Mailbox? {
        let offset = mailboxOffset(of: processor)
        guard processor >= 0, offset + BootMemory.page <= map.length,
            let start = unsafe UnsafeMutableRawPointer(bitPattern: map.address)
        else { return nil }
        return unsafe Mailbox(page: start + Int(offset))
    }

    private func mailboxOffset(of processor: Int) -> UInt64 {
        codeOffset + (1 + UInt64(clamping: processor)) * BootMemory.page
    }
}

import CKVM
import Custody

/// The memory slot that the guest program lives in: page tables, code, and one mailbox for each processor.
///
/// It is host memory that both sides always reach; it is not part of the guest's RAM and has no ownership.
final class BootMemory: Sendable {
    /// Where the slot is and how far its page tables reach.
    struct Placement: Sendable, Hashable {
        /// The slot's guest-physical address, in bytes.
        let address: UInt64
        /// The slot's size in bytes.
        let size: UInt64
        /// How much memory the guest program can address, in GiB from address 0: one page directory each.
        let gibibytes: UInt64
    }

    private static let page = PageSize.base.bytes
    private static let gibibyte = PageSize.huge.bytes

    /// How far from address 0 RAM may reach, in bytes: the page tables have one page of 512 directories, the last of them
    /// for the slot itself.
    static let maximumReach = 511 * gibibyte

    /// The slot's place.
    let placement: Placement
    /// The slot's memory.
    let map: MappedMemory

    /// Fills the memory of a slot at `placement`.
    init(_ placement: Placement, kernel: any Kernel) throws(KVMError) {
        self.placement = placement
        map = try MappedMemory(nil, length: placement.size, kernel: kernel)
        guard let start = unsafe UnsafeMutableRawPointer(bitPattern: map.address) else { return }
        // Present, writable, user (7); in a page directory entry also 2 MiB page (0x80).
        let tables = unsafe start.assumingMemoryBound(to: UInt64.self)
        let entries = Int(BootMemory.page) / 8
        unsafe tables[0] = (placement.address + BootMemory.page) | 7
        for index in 0..<Int(placement.gibibytes) {
            unsafe tables[entries + index] = (placement.address + (2 + UInt64(index)) * BootMemory.page) | 7
        }
        for index in 0..<Int(placement.gibibytes) * entries {
            unsafe tables[2 * entries + index] = UInt64(index) * PageSize.large.bytes | 0x87
        }
        guard let program = unsafe ckvm_guest_program() else { return }
        unsafe (start + Int(codeOffset)).copyMemory(from: program, byteCount: ckvm_guest_program_size())
    }

    /// Finds a place beside the guest's RAM: below it from address 0, or else above it.
    ///
    /// - Throws: `BackendError` with code `unsupported` where the page tables cannot reach that far.
    static func placement(beside layout: GuestMemoryLayout, processors: Int) throws(BackendError) -> Placement {
        let bounds = layout.bounds
        let end = bounds.end.multipliedReportingOverflow(by: page)
        guard !end.overflow, end.partialValue <= maximumReach else {
            throw BackendError(
                .unsupported,
                "the guest's program reaches memory below \(ByteCount(maximumReach)) only; move or shrink the guest's RAM",
                range: bounds
            )
        }
        // One directory more than the RAM needs, for the slot itself.
        var gibibytes = (end.partialValue + gibibyte - 1) / gibibyte
        func size() -> UInt64 { (2 + gibibytes + 1 + UInt64(clamping: processors)) * page }
        if bounds.start.rawValue * page >= size() {
            return Placement(address: 0, size: size(), gibibytes: gibibytes)
        }
        let large = PageSize.large.bytes
        var address = (end.partialValue + large - 1) / large * large
        // The last GiB below 4 GiB is for devices.
        if address + 4 * large > 3 * gibibyte, address < 4 * gibibyte { address = 4 * gibibyte }
        gibibytes = (address + 4 * large + gibibyte - 1) / gibibyte
        return Placement(address: address, size: size(), gibibytes: gibibytes)
    }

    /// The slot's pages.
    var range: PageRange {
        PageRange(uncheckedStart: placement.address / BootMemory.page, count: placement.size / BootMemory.page)
    }

    private var codeOffset: UInt64 { (2 + placement.gibibytes) * BootMemory.page }

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

import CKVM
import Custody

/// Memory that the guest reads and cannot write, such as firmware: a slot with `KVM_MEM_READONLY`.
///
/// It is not part of the guest's RAM and has no ownership. A write of the guest's is an exit, which goes to
/// ``ProcessorExitHandler/writeMemory(_:at:byteCount:)``.
final class ReadOnlyMemory: Sendable {
    /// Its pages.
    let range: PageRange
    private let map: MappedMemory

    /// Memory for so many pages that begins with these bytes and goes on with zeroes.
    init(_ contents: [UInt8], range: PageRange, kernel: any Kernel) throws(KVMError) {
        map = try MappedMemory(nil, length: range.byteCount, kernel: kernel)
        self.range = range
        guard let start = unsafe UnsafeMutableRawPointer(bitPattern: map.address) else { return }
        let target = unsafe UnsafeMutableRawBufferPointer(start: start, count: Int(range.byteCount))
        unsafe target.copyBytes(from: contents.prefix(target.count))
    }

    /// Puts it into the guest's address space.
    func bind(_ slot: UInt32, in machine: borrowing VirtualMachine) throws(KVMError) {
        try machine.addSlot(
            slot,
            guestAddress: range.address.rawValue,
            size: range.byteCount,
            hostAddress: map.address,
            flags: UInt32(CKVM_MEM_READONLY)
        )
    }
}

/// Guest memory without a file: pages of this process alone.
final class AnonymousMemory: GuestMemory {
    private let map: MappedMemory

    var address: UInt { map.address }
    var file: Int32? { nil }

    init(size: UInt64, kernel: any Kernel) throws(KVMError) {
        map = try MappedMemory(privateOfLength: size, kernel: kernel)
        // A child that shared them by copying on write would take them from the guest, too.
        try map.withhold()
    }

    /// By `MADV_DONTNEED`.
    func discard(offset: UInt64, length: UInt64) throws(KVMError) { try map.discard(offset: offset, length: length) }

    /// By `mincore(2)`.
    func hasMemory(offset: UInt64, length: UInt64) throws(KVMError) -> Bool? {
        try map.residentPages(offset: offset, length: length) > 0
    }

    func populate(offset: UInt64, length: UInt64) throws(KVMError) { try map.populate(offset: offset, length: length) }
}

/// A shared memory mapping with one owner: it is unmapped when the owner is gone.
struct MappedMemory: ~Copyable, Sendable {
    /// Where the mapping starts in this process.
    let address: UInt
    /// The length in bytes.
    let length: UInt64
    private let kernel: any Kernel

    /// Maps a file from an offset on, or anonymous memory where there is none.
    ///
    /// Without access it is a reserved place: there is nothing, and whoever touches it is stopped.
    init(
        _ descriptor: Int32?,
        length: UInt64,
        offset: UInt64 = 0,
        _ protection: HostProtection = .readWrite,
        kernel: any Kernel
    ) throws(KVMError) {
        address = UInt(
            bitPattern: try kernel.call(
                .mmap(descriptor, length: length, protection: protection.rawValue, offset: offset)
            )
        )
        self.length = length
        self.kernel = kernel
    }

    deinit { _ = try? kernel.perform(.munmap(address: address, length: length)) }

    /// Changes what this process may do with part of the mapping. In bytes from its start.
    func protect(_ protection: HostProtection, offset: UInt64, length: UInt64) throws(KVMError) {
        try kernel.call(.mprotect(address: address + UInt(offset), length: length, protection: protection.rawValue))
    }

    /// Gives part of the mapping its memory, as if every page were written to. In bytes from its start.
    func populate(offset: UInt64, length: UInt64) throws(KVMError) {
        try kernel.call(.populate(address: address + UInt(offset), length: length))
    }
}

import CKVM
import SystemPackage

/// A memory mapping with one owner: it is unmapped when the owner is gone.
struct MappedMemory: ~Copyable, Sendable {
    /// Where the mapping starts in this process.
    let address: UInt
    /// The length in bytes.
    let length: UInt64
    private let kernel: any Kernel

    /// Maps a file from an offset on, or anonymous memory where there is none, in either case shared.
    ///
    /// Without access it is a reserved place: there is nothing, and whoever touches it is stopped. Neither children nor core
    /// dumps have it: what a guest has in common with this process is nobody else's.
    init(
        _ descriptor: Int32?,
        length: UInt64,
        offset: UInt64 = 0,
        _ protection: HostProtection = .readWrite,
        kernel: any Kernel
    ) throws(KVMError) {
        let call = SystemCall.mmap(descriptor, length: length, protection: protection.rawValue, offset: offset)
        // A child that is forked between the calls would have the mapping.
        let gate = ckvm_forks_hold()
        guard gate == 0 else { throw KVMError(call, Errno(rawValue: -gate)) }
        defer { ckvm_forks_release() }
        let address = UInt(bitPattern: try kernel.call(call))
        do throws(KVMError) { try MappedMemory.withhold(address, length, kernel) } catch {
            _ = try? kernel.perform(.munmap(address: address, length: length))
            throw error
        }
        self.address = address
        self.length = length
        self.kernel = kernel
    }

    /// Maps anonymous memory that is this mapping's alone: its pages can be given back one by one.
    init(privateOfLength length: UInt64, kernel: any Kernel) throws(KVMError) {
        address = UInt(bitPattern: try kernel.call(.mmapPrivate(length: length)))
        self.length = length
        self.kernel = kernel
    }

    /// Keeps the mapping from children that are forked later, and from core dumps.
    func withhold() throws(KVMError) { try MappedMemory.withhold(address, length, kernel) }

    private static func withhold(_ address: UInt, _ length: UInt64, _ kernel: any Kernel) throws(KVMError) {
        for advice in MemoryAdvice.allCases {
            try kernel.call(.advise(address: address, length: length, advice))
        }
    }

    deinit { _ = try? kernel.perform(.munmap(address: address, length: length)) }

    /// Changes what this process may do with part of the mapping. In bytes from its start.
    func protect(_ protection: HostProtection, offset: UInt64, length: UInt64) throws(KVMError) {
        try kernel.call(.mprotect(address: address + UInt(offset), length: length, protection: protection.rawValue))
    }

    /// Frees the pages of part of a private anonymous mapping; who touches them next finds zeroes. In bytes from its start.
    func discard(offset: UInt64, length: UInt64) throws(KVMError) {
        try kernel.call(.discard(address: address + UInt(offset), length: length))
    }

    /// How many pages of part of the mapping are in memory. In bytes from its start.
    func residentPages(offset: UInt64, length: UInt64) throws(KVMError) -> Int {
        try kernel.call(.residentPages(address: address + UInt(offset), length: length))
    }

    /// Gives part of the mapping its memory, as if every page were written to. In bytes from its start.
    func populate(offset: UInt64, length: UInt64) throws(KVMError) {
        try kernel.call(.populate(address: address + UInt(offset), length: length))
    }
}

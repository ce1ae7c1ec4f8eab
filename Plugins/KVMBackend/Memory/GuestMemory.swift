/// Memory that pages of the guest have their bytes in, as one stretch. Offsets and lengths are in bytes.
protocol GuestMemory: AnyObject, Sendable {
    /// Where the whole of it is in this process: what KVM finds the memory by, and never revoked. For memory that cannot be
    /// mapped a reserved place of the same size, where there is nothing to be touched.
    var address: UInt { get }

    /// The descriptor of its file; `nil` where it has none.
    var file: Int32? { get }

    /// Drops the pages of a part, as this kind of memory has it done; who touches them next finds zeroes.
    func discard(offset: UInt64, length: UInt64) throws(KVMError)

    /// Whether a part has memory behind it; `nil` where the kernel does not tell for this kind.
    func hasMemory(offset: UInt64, length: UInt64) throws(KVMError) -> Bool?

    /// Gives a part its memory; contents that are there stay.
    func populate(offset: UInt64, length: UInt64) throws(KVMError)
}

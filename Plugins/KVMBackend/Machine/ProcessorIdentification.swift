import CKVM

/// A `struct kvm_cpuid2`: a count, and so many entries.
struct ProcessorIdentification: Sendable {
    private static let headBytes = MemoryLayout<ckvm_cpuid2>.size
    private static let entryBytes = MemoryLayout<ckvm_cpuid_entry2>.size

    /// The structure, in 32-bit words: all its fields are such.
    private var words: [UInt32]

    /// A table with room for so many entries, all zero.
    init(capacity: Int) {
        words = [UInt32](
            repeating: 0,
            count: (ProcessorIdentification.headBytes + capacity * ProcessorIdentification.entryBytes) / 4
        )
        words[0] = UInt32(clamping: capacity)
    }

    /// Gives the structure's address to a request that reads or fills it.
    mutating func withStructure(_ body: (UInt) throws(KVMError) -> Void) throws(KVMError) {
        var span = words.mutableSpan
        try unsafe span.withUnsafeMutableBytes { bytes throws(KVMError) in
            try body(UInt(bitPattern: bytes.baseAddress))
        }
    }
}

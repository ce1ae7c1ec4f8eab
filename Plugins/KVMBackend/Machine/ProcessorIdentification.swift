import CKVM
import SystemPackage

/// What CPUID answers to a guest: a `struct kvm_cpuid2`.
public struct ProcessorIdentification: Sendable, Hashable {
    /// One answer.
    public struct Leaf: Sendable, Hashable {
        /// The function, in EAX.
        public var function: UInt32
        /// The sub-function, in ECX, where it matters.
        public var index: UInt32
        /// KVM's flags: bit 0 where the sub-function matters.
        public var flags: UInt32
        /// The answer in EAX.
        public var eax: UInt32
        /// The answer in EBX.
        public var ebx: UInt32
        /// The answer in ECX.
        public var ecx: UInt32
        /// The answer in EDX.
        public var edx: UInt32

        /// An answer.
        public init(
            function: UInt32,
            index: UInt32 = 0,
            flags: UInt32 = 0,
            eax: UInt32 = 0,
            ebx: UInt32 = 0,
            ecx: UInt32 = 0,
            edx: UInt32 = 0
        ) {
            self.function = function
            self.index = index
            self.flags = flags
            self.eax = eax
            self.ebx = ebx
            self.ecx = ecx
            self.edx = edx
        }
    }

    private static let headWords = MemoryLayout<ckvm_cpuid2>.size / 4
    private static let entryWords = MemoryLayout<ckvm_cpuid_entry2>.size / 4

    /// The structure, in 32-bit words: all its fields are such.
    private var words: [UInt32]

    /// A table with room for so many entries, all zero.
    private init(capacity: Int) {
        words = [UInt32](
            repeating: 0,
            count: ProcessorIdentification.headWords + capacity * ProcessorIdentification.entryWords
        )
        words[0] = UInt32(clamping: capacity)
    }

    /// A table of the given answers.
    public init(_ leaves: [Leaf]) {
        self.init(capacity: leaves.count)
        for (number, leaf) in leaves.enumerated() {
            let start = ProcessorIdentification.headWords + number * ProcessorIdentification.entryWords
            let values = [leaf.function, leaf.index, leaf.flags, leaf.eax, leaf.ebx, leaf.ecx, leaf.edx]
            for (offset, value) in values.enumerated() { words[start + offset] = value }
        }
    }

    /// A table that a request fills, with as much room as it turns out to need.
    init(filledBy body: (inout ProcessorIdentification) throws(KVMError) -> Void) throws(KVMError) {
        var size = 128
        while true {
            var table = ProcessorIdentification(capacity: size)
            do throws(KVMError) {
                try body(&table)
                self = table
                return
            } catch {
                // E2BIG: there are more entries than that.
                guard error.errno == .argListTooLong, size < 4096 else { throw error }
                size *= 2
            }
        }
    }

    /// The answers.
    public var leaves: [Leaf] {
        let room = (words.count - ProcessorIdentification.headWords) / ProcessorIdentification.entryWords
        return (0..<min(Int(words[0]), room)).map { number in
            let start = ProcessorIdentification.headWords + number * ProcessorIdentification.entryWords
            return Leaf(
                function: words[start],
                index: words[start + 1],
                flags: words[start + 2],
                eax: words[start + 3],
                ebx: words[start + 4],
                ecx: words[start + 5],
                edx: words[start + 6]
            )
        }
    }

    /// Gives the structure's address to a request that reads or fills it.
    mutating func withStructure(_ body: (UInt) throws(KVMError) -> Void) throws(KVMError) {
        var span = words.mutableSpan
        try unsafe span.withUnsafeMutableBytes { bytes throws(KVMError) in
            try body(UInt(bitPattern: bytes.baseAddress))
        }
    }
}

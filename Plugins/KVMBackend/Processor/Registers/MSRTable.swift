import CKVM

/// A `struct kvm_msrs`: a count, and so many registers.
struct MSRTable: Sendable {
    private static let head = MemoryLayout<ckvm_msrs>.size
    private static let entry = MemoryLayout<ckvm_msr_entry>.size

    /// The structure.
    var bytes: [UInt8]

    /// A table of the given registers.
    init(_ registers: [(index: UInt32, value: UInt64)]) {
        bytes = []
        bytes.append(littleEndian: UInt32(clamping: registers.count))
        bytes.append(littleEndian: UInt32(0))
        for register in registers {
            bytes.append(littleEndian: register.index)
            bytes.append(littleEndian: UInt32(0))
            bytes.append(littleEndian: register.value)
        }
    }

    /// The registers' values.
    var values: [UInt64] {
        stride(from: MSRTable.head, to: bytes.count, by: MSRTable.entry).map { start in
            bytes[(start + 8)..<(start + 16)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
    }
}

extension [UInt8] {
    fileprivate mutating func append(littleEndian value: some FixedWidthInteger) {
        for index in 0..<(value.bitWidth / 8) { append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
    }
}

/// CRC-32 as of IEEE 802.3, reflected: what Ethernet, zlib and PNG use.
struct FrameChecksum {
    private var state: UInt32 = .max

    /// The checksum of what was appended.
    var value: UInt32 { ~state }

    /// Takes bytes in. O(*n*).
    mutating func append(_ bytes: Span<UInt8>) {
        var state = state
        for index in bytes.indices {
            state = state >> 8 ^ FrameChecksum.table[Int(UInt8(truncatingIfNeeded: state) ^ bytes[index])]
        }
        self.state = state
    }

    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { value, _ in value >> 1 ^ (value & 1 == 0 ? 0 : 0xedb8_8320) }
    }
}

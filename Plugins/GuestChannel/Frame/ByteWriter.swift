/// Fields, one after the other, little endian.
struct ByteWriter {
    /// What has been written.
    private(set) var bytes: [UInt8] = []

    /// Appends a number.
    mutating func append<Number: FixedWidthInteger>(_ number: Number) {
        for shift in stride(from: 0, to: Number.bitWidth, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: number >> Number(shift)))
        }
    }
}

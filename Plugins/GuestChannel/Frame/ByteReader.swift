/// Fields of a payload, little endian, at the places that the protocol gives them.
struct ByteReader {
    /// The payload.
    let bytes: [UInt8]

    /// The number at an offset, in bytes; zero beyond the end, so that who asks must have seen to the size before.
    func number<Number: FixedWidthInteger>(_ offset: Int32, as type: Number.Type = Number.self) -> Number {
        let start = Int(offset)
        guard start >= 0, start + Number.bitWidth / 8 <= bytes.count else { return 0 }
        return (0..<Number.bitWidth / 8).reduce(0) {
            $0 | Number(truncatingIfNeeded: bytes[start + $1]) << Number($1 * 8)
        }
    }

    /// The bytes from an offset on; none beyond the end.
    func rest(from offset: Int32) -> [UInt8] { Array(bytes.dropFirst(Int(offset))) }
}

/// Bytes as instructions of a few numbers each.
struct Instructions {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { rest = bytes[...] }

    /// Whether none is left.
    var isAtEnd: Bool { rest.isEmpty }

    /// The next number, below `bound`; 0 where none is left.
    mutating func next(below bound: Int) -> Int {
        let low = Int(rest.popFirst() ?? 0)
        guard bound > 256 else { return low % bound }
        return (low << 8 | Int(rest.popFirst() ?? 0)) % bound
    }
}

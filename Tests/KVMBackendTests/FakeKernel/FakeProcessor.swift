import CKVM

/// A virtual processor that runs the guest program: the state of that program between two instructions.
struct FakeProcessor: Sendable {
    /// Where the program is.
    enum Program: Sendable {
        /// Before its first instruction, or at no program at all.
        case start
        /// It has rung the doorbell.
        case idle
        /// It performs a command and has done so much of it, in bytes or passes.
        case working(done: UInt64, passes: UInt64)
        /// It has made its request.
        case asked
    }

    let machine: Int
    let index: UInt
    /// Where the fake kernel has the page that is shared with user space, which is the descriptor's first.
    let run: UInt
    var registers = ckvm_regs()
    var specialRegisters = ckvm_sregs()
    var program = Program.start
    /// What a checksum has come to, or where a comparison has found something.
    var accumulator = FakeProcessor.hashBasis

    /// The checksum of nothing (64-bit FNV-1a).
    static let hashBasis: UInt64 = 0xCBF2_9CE4_8422_2325

    /// The size of the shared memory, in bytes.
    static let mapSize = 12288
}

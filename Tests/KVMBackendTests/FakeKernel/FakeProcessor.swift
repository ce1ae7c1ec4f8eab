import CKVM

@testable import KVMBackend

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
        /// It has made so many of its requests.
        case askedSome(UInt64)
        /// It has made a hypercall.
        case called
    }

    /// How an instruction ends that user space has answered.
    struct Completion: Sendable {
        /// Where the program goes on.
        let program: Program
        /// Where the bytes that were read go to, and how many.
        var target: (address: UInt, count: Int)?
    }

    let machine: Int
    let index: UInt
    /// Where the fake kernel has the page that is shared with user space, which is the descriptor's first.
    let run: UInt
    var registers = ckvm_regs()
    var specialRegisters = ckvm_sregs()
    var program = Program.start
    /// The ring of dirty pages, where the machine has rings.
    var ring: FakeRing?
    /// The page that its last step has written to.
    var written: UInt64?
    /// What the answer to an access that no memory answered leads to.
    var completion: Completion?
    /// What a checksum has come to, or where a comparison has found something.
    var accumulator = FakeProcessor.hashBasis

    /// The checksum of nothing (64-bit FNV-1a).
    static let hashBasis: UInt64 = 0xCBF2_9CE4_8422_2325

    /// The size of the shared memory, in bytes.
    static let mapSize = 12288

    /// Where the ring of dirty pages begins in the descriptor, in bytes.
    static let ringOffset = Int(CKVM_DIRTY_RING_PAGE_OFFSET) * FakeFile.page

    /// Gives back what the fake kernel has mapped of it.
    func destroy() {
        _ = try? LinuxKernel().perform(.munmap(address: run, length: UInt64(FakeProcessor.mapSize)))
        guard let ring else { return }
        _ = try? LinuxKernel().perform(.munmap(address: ring.address, length: UInt64(DirtyRing.bytes(ring.entries))))
    }
}

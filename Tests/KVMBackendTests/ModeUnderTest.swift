import Custody
import CustodyTestSupport
import Testing

@testable import KVMBackend

/// A mode together with the kernel that it runs on: the machine's own where it has the mode, and the fake.
///
/// What the fake says about a mode that the real kernel has too is held against the real kernel by the same tests: a fake
/// that disagrees proves nothing.
struct ModeUnderTest: Sendable, CustomTestStringConvertible {
    let mode: KVMMode
    let isFake: Bool
    var sharedMemory: SharedMemoryKind?
    var dirtyLog: DirtyLogChoice?

    var testDescription: String {
        let memory = sharedMemory.map { ", shared memory \($0.rawValue)" } ?? ""
        let log = dirtyLog.map { ", \($0)" } ?? ""
        return "\(mode.rawValue)\(memory)\(log) on \(isFake ? "the fake kernel" : "the real kernel")"
    }

    /// Every mode on every kernel that has it.
    static let all: [ModeUnderTest] =
        real + KVMMode.allCases.map { ModeUnderTest(mode: $0, isFake: true) }
        + [ModeUnderTest(mode: .attributes, isFake: true, sharedMemory: .anonymous)]

    /// The ways to tell what the guest writes, on every kernel.
    static let logs: [ModeUnderTest] = TestKernel.both.flatMap { kernel in
        [DirtyLogChoice.bitmap, .ring(entries: 256)].map {
            ModeUnderTest(mode: .revoked, isFake: kernel == .fake, dirtyLog: $0)
        }
    }

    /// The modes of this machine's kernel.
    static let real: [ModeUnderTest] =
        TestHost.hasKVM
        ? [ModeUnderTest(mode: .dual, isFake: false), ModeUnderTest(mode: .revoked, isFake: false)] : []

    /// A new kernel.
    func makeKernel() throws -> any Kernel { isFake ? try FakeKernel(.for(mode)) : LinuxKernel() }

    /// A back end on a new kernel.
    func backend(pages: UInt64 = 512, processors: Int = 1) throws -> KVMBackend {
        try backend(pages: pages, processors: processors, kernel: makeKernel())
    }

    /// A back end on a given kernel.
    func backend(pages: UInt64 = 512, processors: Int = 1, kernel: any Kernel) throws -> KVMBackend {
        try KVMBackend(
            Guests.configuration(pages: pages, processors: processors),
            mode: mode,
            dirtyLog: dirtyLog,
            sharedMemory: sharedMemory,
            kernel: kernel,
            slotLimit: nil
        )
    }

    /// What a conversion leaves of a byte of the other side.
    func afterConversion(_ byte: UInt8) -> UInt8? {
        switch mode {
        case .dual, .attributes: 0
        case .revoked: byte
        // Nothing is promised.
        case .inPlace: nil
        }
    }
}

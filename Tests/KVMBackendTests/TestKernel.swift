import CustodyTestSupport
import Testing

@testable import KVMBackend

/// The kernel that a black-box case runs on: what holds for the real one must hold for the fake too.
enum TestKernel: String, Sendable, CustomTestStringConvertible {
    case real
    case fake

    var testDescription: String { "the \(rawValue) kernel" }

    /// Both, or the fake alone where this machine has no KVM.
    static let both: [TestKernel] = TestHost.hasKVM ? [.real, .fake] : [.fake]

    /// A new one: as this machine's.
    func make() throws -> any Kernel { self == .real ? LinuxKernel() : try FakeKernel(.plain) }
}

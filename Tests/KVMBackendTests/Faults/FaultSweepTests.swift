import Custody
import CustodyPolicy
import Glibc
import SystemPackage
import Testing

@testable import KVMBackend

/// Every system call of the back end fails once, with each error that it can give, in everything that the back end does, in
/// every mode: afterwards all is as before, or done after all, and a second attempt succeeds.
@Suite(.timeLimit(.minutes(10))) struct FaultSweepTests {
    // MARK: Construction and shut-down

    @Test(arguments: ModeUnderTest.all) func constructionLeavesNothing(tested: ModeUnderTest) throws {
        func liveAndDie(_ kernel: SweepKernel) throws {
            let backend = try Guests.backend(tested.mode, pages: 64, processors: 2, kernel: kernel)
            defer { backend.shutDown() }
            for processor in 0..<2 {
                guard try backend.guestWrite([1], to: Guests.address(3), on: processor) == .written else {
                    throw Unexpected.outcome
                }
            }
        }
        let counting = SweepKernel(try tested.makeKernel())
        try liveAndDie(counting)
        try expectNothing(of: counting)
        var count = 0
        var survived: Set<String> = []
        for (point, errors) in counting.points where point.kind != "KVM_RUN" {
            for errno in errors {
                let kernel = SweepKernel(try tested.makeKernel())
                kernel.arm(point, errno)
                do {
                    try liveAndDie(kernel)
                    // The refusal that the look at the in-place interface asks for by a flag that there is not.
                    if point.kind == "KVM_SET_MEMORY_ATTRIBUTES2", errno == .invalidArgument { continue }
                    survived.insert(point.kind)
                } catch let error as BackendError {
                    // A kernel that refuses what a mode needs has not got the mode: that is an answer, not an error.
                    if error.code == .unavailable, error.cause == nil {
                        #expect(error.message.contains("cannot be used here"))
                    } else {
                        let cause = try #require(error.rootCause as? KVMError, "\(point) \(errno): \(error)")
                        #expect(cause.errno == errno)
                        #expect(SweepKernel.kindIsNamed(cause, point))
                    }
                }
                try expectNothing(of: kernel, "\(point) \(errno)")
                #expect(kernel.hasFailed, "\(point) \(errno)")
                count += 1
            }
        }
        // What is not an error: an end that is reported late, and a table that has to be larger.
        #expect(survived.isSubset(of: ["close", "munmap", "KVM_GET_SUPPORTED_CPUID"]))
        print("fault sweep, construction and shut-down, \(tested.testDescription): \(count) injection points")
        #expect(count > 100)
    }

    /// A processor's thread lets go of its descriptor a moment after it has ended.
    private func expectNothing(of kernel: SweepKernel, _ comment: String = "") throws {
        let isEmpty = waits { kernel.open.descriptors.isEmpty && kernel.open.mappings.isEmpty }
        #expect(isEmpty, "\(comment): \(kernel.open)")
    }

    // MARK: Changes, discard, populate

    @Test(arguments: ModeUnderTest.all) func nothingChangesByHalves(tested: ModeUnderTest) throws {
        let sweep = try Sweep(tested)
        defer { sweep.backend.shutDown() }
        for operation in Sweep.Operation.all { try sweep.run(operation) }
        print("fault sweep, operations, \(tested.testDescription): \(sweep.count) injection points")
        #expect(sweep.count > sweep.floor)
    }
}

extension SweepKernel {
    /// Whether an error names the call that has failed.
    static func kindIsNamed(_ error: KVMError, _ point: Point) -> Bool { point.kind.hasPrefix(error.call) }
}

extension BackendError {
    /// The innermost error.
    var rootCause: (any Error)? {
        guard let inner = cause as? BackendError else { return cause }
        return inner.rootCause ?? inner
    }
}

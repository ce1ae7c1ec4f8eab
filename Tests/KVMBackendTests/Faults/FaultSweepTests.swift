import Custody
import CustodyPolicy
import Glibc
import SystemPackage
import Testing

@testable import KVMBackend

/// Every system call of the back end fails once, with each error that it can give, in everything that the back end does, in
/// every mode: afterwards all is as before, or done after all, and a second attempt succeeds.
@Suite(.timeLimit(.minutes(60))) struct FaultSweepTests {
    // MARK: Construction and shut-down

    @Test(arguments: ModeUnderTest.all + ModeUnderTest.logs) func constructionLeavesNothing(tested: ModeUnderTest)
        throws
    {
        func liveAndDie(_ kernel: SweepKernel) throws {
            let backend = try tested.backend(pages: 64, processors: 2, kernel: kernel)
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
                    if errno != .interrupted { survived.insert(point.kind) }
                } catch let error as BackendError {
                    // A signal is no reason.
                    #expect(errno != .interrupted, "\(point): \(error)")
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

    // MARK: The dirty log

    /// What the guest has written is known in the end, whatever failed on the way; what is not noted is said.
    @Test(arguments: ModeUnderTest.logs) func nothingWrittenIsForgotten(tested: ModeUnderTest) throws {
        let kernel = SweepKernel(try tested.makeKernel())
        let backend = try tested.backend(pages: 64, kernel: kernel)
        defer { backend.shutDown() }
        let log = try #require(backend.dirtyLog)
        func dirty() throws -> [UInt64] {
            try log.collect().runs.filter(\.state).flatMap { run in
                (run.range.start.rawValue..<run.range.end).map { $0 - Guests.base / 4096 }
            }
        }
        func write(_ pages: UInt64...) throws {
            for page in pages {
                guard try backend.guestWrite([1], to: Guests.address(page)) == .written else {
                    throw Unexpected.outcome
                }
            }
        }
        let host = try Guests.range(8, 4)
        var count = 0
        /// Lets an operation fail at each of its calls, after `begin`, and looks then at `check`.
        func sweep(
            _ name: String,
            _ begin: () throws -> Void,
            _ operation: () throws -> Void,
            _ check: (Bool, Comment) throws -> Void
        ) throws {
            try begin()
            kernel.arm(nil)
            try operation()
            let points = kernel.points.filter { $0.point.kind != "KVM_RUN" }
            #expect(!points.isEmpty)
            try check(true, "\(name)")
            for (point, errors) in points {
                for errno in errors {
                    let comment: Comment = "\(name), \(point.kind) \(point.index), \(errno)"
                    try begin()
                    kernel.arm(point, errno)
                    var failure: (any Error)?
                    do { try operation() } catch { failure = error }
                    #expect(kernel.hasFailed, comment)
                    kernel.arm(nil)
                    if let failure {
                        let cause = try #require((failure as? BackendError)?.rootCause as? KVMError, comment)
                        #expect(cause.errno == errno && SweepKernel.kindIsNamed(cause, point), comment)
                    }
                    try check(failure == nil, comment)
                    count += 1
                }
            }
        }
        func startAnew() throws {
            try log.stop()
            try log.start()
        }
        try sweep("start", { try log.stop() }, { try log.start() }) { isDone, comment in
            if !isDone {
                #expect(throws: BackendError.self, comment) { try log.collect() }
                try log.start()
            }
            try write(3)
            #expect(try dirty() == [3], comment)
        }
        try sweep(
            "collect",
            {
                try startAnew()
                try write(3, 5)
            },
            { _ = try dirty() },
            { _, comment in
                try write(6)
                #expect(try dirty() == [3, 5, 6], comment)
            }
        )
        try sweep(
            "a change of slots",
            {
                try startAnew()
                try write(3, 9, 20)
            },
            { try backend.change(host, from: .shared, to: .host) },
            { isDone, comment in
                #expect(try dirty() == [3, 9, 20], comment)
                if isDone { try backend.change(host, from: .host, to: .shared) }
                try write(7, 8)
                #expect(try dirty() == [3, 7, 8, 9, 20], comment)
            }
        )
        try sweep("stop", { try startAnew() }, { try log.stop() }) { _, comment in
            // It is off, whatever a slot goes on doing; and the next start begins clean.
            #expect(throws: BackendError.self, comment) { try log.collect() }
            try write(30)
            try log.start()
            #expect(try dirty() == [], comment)
        }
        print("fault sweep, dirty log, \(tested.testDescription): \(count) injection points")
        #expect(count > 20)
    }

    // MARK: Processors and memory beside RAM

    /// Every call that a monitor makes for a processor fails once with each error: it is reported with its name, changes
    /// nothing, and works the next time.
    @Test(.needsKVM) func everyCallOfAProcessorIsReported() throws {
        let kernel = SweepKernel(LinuxKernel())
        let backend = try Guests.backend(.revoked, pages: 64, kernel: kernel)
        defer { backend.shutDown() }
        let processor = try #require(backend.processor(0))
        let general = try processor.registers()
        let special = try processor.specialRegisters()
        let debug = try processor.debugRegisters()
        let extended = try processor.extendedState()
        let identification = try processor.identification()
        var place: UInt64 = 100
        func expectSame<Value: Equatable>(_ found: Value, _ value: Value) { #expect(found == value) }
        let operations: [(name: String, body: () throws -> Void)] = [
            ("registers", { try expectSame(processor.registers(), general) }),
            ("set registers", { try processor.setRegisters(general) }),
            ("special registers", { try expectSame(processor.specialRegisters(), special) }),
            ("set special registers", { try processor.setSpecialRegisters(special) }),
            ("debug registers", { try expectSame(processor.debugRegisters(), debug) }),
            ("set debug registers", { try processor.setDebugRegisters(debug) }),
            ("extended state", { try expectSame(processor.extendedState(), extended) }),
            ("set extended state", { try processor.setExtendedState(extended) }),
            ("MSRs", { try expectSame(processor.modelSpecificRegisters([0x174]).count, 1) }),
            ("set MSRs", { try processor.setModelSpecificRegisters([(0x174, 0)]) }),
            ("identification", { try expectSame(processor.identification(), identification) }),
            ("set identification", { try processor.setIdentification(identification) }),
            (
                "read-only memory",
                {
                    try backend.addReadOnlyMemory([1], at: Guests.address(place))
                    place += 1
                }
            ),
        ]
        var count = 0
        for (name, body) in operations {
            kernel.arm(nil)
            try body()
            for (point, errors) in kernel.points {
                for errno in errors {
                    let comment: Comment = "\(name), \(point.kind) \(point.index), \(errno)"
                    let open = kernel.open
                    kernel.arm(point, errno)
                    var failure: (any Error)?
                    do { try body() } catch { failure = error }
                    kernel.arm(nil)
                    count += 1
                    // A table that was too small is asked for again with a larger one.
                    if failure == nil, errno == .argListTooLong { continue }
                    let error = try #require(failure as? BackendError, comment)
                    #expect(error.code == .system, comment)
                    let cause = try #require(error.rootCause as? KVMError, comment)
                    #expect(cause.errno == errno && SweepKernel.kindIsNamed(cause, point), comment)
                    #expect(kernel.open == open, comment)
                    #expect(try processor.registers() == general, comment)
                    #expect(try processor.specialRegisters() == special, comment)
                    try body()
                }
            }
        }
        print("fault sweep, processors and memory beside RAM: \(count) injection points")
        #expect(count > 30)
    }

    @Test(.needsKVM) func theListOfRegistersIsReported() throws {
        let kernel = SweepKernel(LinuxKernel())
        let device = try KVMDevice(kernel: kernel)
        for errno in PossibleErrors.of(.ioctl(0, .getMSRIndexList, argument: 0)) {
            kernel.arm(.init(kind: "KVM_GET_MSR_INDEX_LIST", index: 0), errno)
            let error = #expect(throws: KVMError.self) { try device.modelSpecificRegisters() }
            #expect(error?.errno == errno)
            kernel.arm(nil)
            #expect(try device.modelSpecificRegisters().count > 10)
        }
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

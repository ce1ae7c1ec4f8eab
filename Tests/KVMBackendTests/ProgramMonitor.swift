import CKVM
import Custody
import Synchronization
import Testing

@testable import KVMBackend

/// A monitor as a user would write one: it runs the guest program on a processor of a back end by itself, and has devices.
final class ProgramMonitor: ProcessorExitHandler {
    private struct State {
        var written: [UInt64: UInt8] = [:]
        var ports: [(port: UInt16, value: UInt32, byteCount: Int)] = []
        var calls: [Hypercall] = []
        var others: [ProcessorExit] = []
        /// The bytes of a device's memory, by address.
        var device: [UInt64: UInt8] = [:]
    }

    /// How a run ends in which the program has rung its doorbell: the monitor stops it from within that exit.
    static let idle = ProcessorExit.interrupted

    let backend: KVMBackend
    let processor: KVMProcessor
    private let requests: any GuestRequestHandler
    private let mailbox: Mailbox
    private let state = Mutex(State())

    init(_ backend: KVMBackend, index: Int = 0, requests: any GuestRequestHandler = Refusing()) throws {
        self.backend = backend
        self.requests = requests
        processor = try #require(backend.processor(index))
        mailbox = try #require(backend.program.memory.mailbox(of: index))
        try backend.program.keep()
        var special = try processor.specialRegisters()
        LongMode.configure(&special, pageTable: backend.program.memory.pageTable)
        try processor.setSpecialRegisters(special)
        try processor.setRegisters(
            LongMode.start(
                at: backend.program.memory.program,
                mailbox: backend.program.memory.mailboxAddress(of: index)
            )
        )
    }

    /// Has the program perform a command, to its next doorbell or whatever else stops it.
    func perform(_ command: GuestCommand) throws -> ProcessorExit {
        // To the first doorbell, and on from there.
        let first = try processor.run(self, answeringRequestsWith: requests)
        guard first == ProgramMonitor.idle else { return first }
        mailbox.put(command)
        return try processor.run(self, answeringRequestsWith: requests)
    }

    /// Goes on from where it stopped.
    func run() throws -> ProcessorExit { try processor.run(self, answeringRequestsWith: requests) }

    /// What the program says.
    var result: UInt64 { mailbox.results.value }

    /// The data in the program's mailbox.
    func data(_ count: UInt64) -> [UInt8] { mailbox.data(count: count) }

    // MARK: Devices

    /// What a device's memory holds.
    func put(_ bytes: [UInt8], at address: UInt64) {
        state.withLock { state in
            for (index, byte) in bytes.enumerated() { state.device[address + UInt64(index)] = byte }
        }
    }

    func writtenBytes(at address: UInt64, count: UInt64) -> [UInt8?] {
        state.withLock { state in (address..<address + count).map { state.written[$0] } }
    }

    /// What the guest has written to ports.
    var ports: [(port: UInt16, value: UInt32, byteCount: Int)] { state.withLock { $0.ports } }
    /// The hypercalls other than requests.
    var calls: [Hypercall] { state.withLock { $0.calls } }
    /// The exits that asked for no value.
    var others: [ProcessorExit] { state.withLock { $0.others } }

    func readMemory(at address: GuestPhysicalAddress, byteCount: Int) -> UInt64 {
        state.withLock { state in
            (UInt64(0)..<UInt64(byteCount)).reversed().reduce(0) { value, index in
                value << 8 | UInt64(state.device[address.rawValue + index] ?? 0xFF)
            }
        }
    }

    func writeMemory(_ value: UInt64, at address: GuestPhysicalAddress, byteCount: Int) {
        state.withLock { state in
            for index in 0..<UInt64(byteCount) {
                state.written[address.rawValue + index] = UInt8(truncatingIfNeeded: value >> (8 * index))
            }
        }
    }

    func readPort(_ port: UInt16, byteCount: Int) -> UInt32 { UInt32(port) << 16 | 0xABCD }

    func writePort(_ value: UInt32, to port: UInt16, byteCount: Int) {
        state.withLock { $0.ports.append((port, value, byteCount)) }
        // An idle program, or one that asks by its port and not by a call, is for the test to go on with.
        if port == UInt16(CKVM_PORT_DOORBELL) { processor.stop() }
    }

    func call(_ hypercall: Hypercall) -> HypercallResult {
        state.withLock { $0.calls.append(hypercall) }
        return HypercallResult(error: 38)
    }

    func decide(on exit: ProcessorExit) -> ProcessorDecision {
        state.withLock { $0.others.append(exit) }
        return .stop
    }
}

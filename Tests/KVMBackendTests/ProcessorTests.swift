import CKVM
import Custody
import CustodyPolicy
import Synchronization
import Testing

@testable import KVMBackend

/// A monitor that runs a guest on the processors of a back end: devices, hypercalls, stops.
@Suite(.timeLimit(.minutes(60))) struct ProcessorTests {
    // MARK: Devices

    /// A device's memory where no slot is: the guest reads what the monitor answers, and the monitor takes what it writes.
    @Test(arguments: TestKernel.both) func aDevicesMemoryIsReadAndWritten(kernel: TestKernel) throws {
        let backend = try Guests.backend(.dual, kernel: kernel.make())
        let monitor = try ProgramMonitor(backend)
        let place = Guests.address(600).rawValue
        let bytes = (0..<24).map { UInt8($0 * 3 + 1) }
        monitor.put(bytes, at: place)
        #expect(try monitor.perform(.read(count: 24, address: place)) == ProgramMonitor.idle)
        #expect(monitor.data(24) == bytes)
        // The program is idle: what it does next goes on from there.
        let second = try ProgramMonitor(backend)
        #expect(try second.perform(.write(Array(bytes.reversed()), address: place + 64)) == ProgramMonitor.idle)
        #expect(second.writtenBytes(at: place + 64, count: 24) == bytes.reversed())
        #expect(second.ports.allSatisfy { $0.port == UInt16(CKVM_PORT_DOORBELL) && $0.byteCount == 1 })
        #expect(second.others.isEmpty)
    }

    /// `in`, by a guest of the test's own: what the monitor answers is in the register, also after a stop within the exit.
    @Test(.needsKVM) func aPortIsRead() throws {
        let backend = try Guests.backend(.revoked)
        // mov $0x1234, %edx; in %dx, %eax; out %al, %dx; jmp to itself
        let code: [UInt8] = [0xBA, 0x34, 0x12, 0, 0, 0xED, 0xEE, 0xEB, 0xFE]
        try backend.hostWrite(code, to: Guests.address(3))
        let monitor = try ProgramMonitor(backend)
        let processor = monitor.processor
        var registers = try processor.registers()
        registers.rip = Guests.address(3).rawValue
        registers.rax = 0x5555_5555_5555_5555
        try processor.setRegisters(registers)
        let end = StopAtPort(processor: processor)
        #expect(try processor.run(end, answeringRequestsWith: Refusing()) == .interrupted)
        #expect(end.seen.withLock { $0 } == [0x1234])
        let after = try processor.registers()
        // A 32-bit result clears the upper half; the instruction is over.
        #expect(after.rax == 0x1234_ABCD)
        #expect(after.rip == Guests.address(3).rawValue + 6)
    }

    private final class StopAtPort: ProcessorExitHandler {
        let processor: KVMProcessor
        let seen = Mutex<[UInt16]>([])
        init(processor: KVMProcessor) { self.processor = processor }
        func readPort(_ port: UInt16, byteCount: Int) -> UInt32 {
            seen.withLock { $0.append(port) }
            processor.stop()
            return 0x1234_ABCD
        }
    }

    /// A guest that gives up ends the run with the exit that says so.
    @Test(.needsKVM) func aTripleFaultEndsTheRun() throws {
        let backend = try Guests.backend(.revoked)
        // ud2: there is no table of handlers.
        try backend.hostWrite([0x0F, 0x0B], to: Guests.address(3))
        let monitor = try ProgramMonitor(backend)
        var registers = try monitor.processor.registers()
        registers.rip = Guests.address(3).rawValue
        try monitor.processor.setRegisters(registers)
        #expect(try monitor.run() == .shutdown)
        #expect(monitor.others == [.shutdown])
    }

    // MARK: Hypercalls

    /// The call is passed on: a guest's request is carried out, and the guest finds what became of it.
    ///
    /// On the fake kernel. What the real one here does with the instruction is the next test.
    @Test func aHypercallIsARequest() throws {
        let backend = try Guests.backend(.attributes, kernel: FakeKernel(.attributes))
        let controller = MemoryController(backend: backend, policy: AllowAll())
        func call(_ page: UInt64, _ count: UInt64, _ attributes: UInt64) throws -> UInt64 {
            let monitor = try ProgramMonitor(backend, requests: controller)
            let address = Guests.address(page).rawValue
            let exit = try monitor.perform(.hypercall(address: address, pages: count, attributes: attributes))
            #expect(exit == ProgramMonitor.idle)
            #expect(monitor.calls.isEmpty)
            return monitor.result
        }
        #expect(try call(3, 2, 0x10) == 0)
        #expect(controller.ownership(of: Guests.address(3).page) == .private)
        #expect(controller.ownership(of: Guests.address(4).page) == .private)
        #expect(controller.ownership(of: Guests.address(5).page) == .shared)
        #expect(try call(4, 1, 0x00) == 0)
        #expect(controller.ownership(of: Guests.address(4).page) == .shared)
        // Outside of RAM, and nonsense.
        #expect(try call(511, 2, 0x10) == UInt64(bitPattern: -22))
        #expect(try call(0, 1, 0x13) == UInt64(bitPattern: -22))
        #expect(controller.ownership(of: Guests.address(0).page) == .shared)
    }

    /// A page that the host holds: the guest is told to try again, does, and succeeds when the holder has let go.
    @Test func aPendingHypercallIsTriedAgain() throws {
        let backend = try Guests.backend(.attributes, kernel: FakeKernel(.attributes))
        let controller = MemoryController(backend: backend, policy: AllowAll())
        let disk = Holder(device: "disk", purpose: "DMA")
        let lease = try controller.lease(Guests.range(3, 1), .pin, for: disk)
        func call() throws -> UInt64 {
            let monitor = try ProgramMonitor(backend, requests: controller)
            let address = Guests.address(3).rawValue
            _ = try monitor.perform(.hypercall(address: address, pages: 1, attributes: 0x10))
            return monitor.result
        }
        #expect(try call() == UInt64(bitPattern: -11))
        #expect(try call() == UInt64(bitPattern: -11))
        lease.release()
        #expect(waits { (try? call()) == 0 })
        #expect(controller.ownership(of: Guests.address(3).page) == .private)
    }

    /// Without the capability KVM answers by itself, and nobody is asked.
    @Test func withoutTheCapabilityTheCallIsNotPassedOn() throws {
        var features = FakeFeatures.plain
        features.exitHypercall = 0
        let backend = try Guests.backend(.dual, kernel: FakeKernel(features))
        let requests = Answering { _ in .done }
        let monitor = try ProgramMonitor(backend, requests: requests)
        _ = try monitor.perform(.hypercall(address: Guests.base, pages: 1, attributes: 0x10))
        #expect(monitor.result == HypercallResult.noSuchCall.rawValue)
        #expect(requests.requests.isEmpty)
    }

    /// What the real kernel does with `vmcall` at privilege level 3: whatever it is, no request comes of it unless KVM passes
    /// it on, and the outcome is one that is written down here.
    @Test(.needsKVM) func aRealHypercallHasADefinedOutcome() throws {
        let backend = try Guests.backend(.dual)
        let requests = Answering { _ in .done }
        let monitor = try ProgramMonitor(backend, requests: requests)
        let exit = try monitor.perform(.hypercall(address: Guests.base, pages: 1, attributes: 0x10))
        print("vmcall at privilege level 3: \(exit), result \(Int64(bitPattern: monitor.result))")
        switch exit {
        case ProgramMonitor.idle:
            // Passed on, or refused by KVM: -KVM_EPERM, as the caller is no kernel; -KVM_ENOSYS.
            let isAsked = !requests.requests.isEmpty
            #expect(isAsked ? monitor.result == 0 : [-1, -1000].contains(Int64(bitPattern: monitor.result)))
        default:
            // No such instruction for it.
            #expect(exit == .shutdown)
            #expect(requests.requests.isEmpty)
        }
    }

    // MARK: Stops

    /// A stop counts whenever it comes: before the run it is forgotten, within an exit and inside the guest it ends the run.
    @Test(.needsKVM) func aStopEndsTheRunUnderWay() throws {
        let backend = try Guests.backend(.dual)
        let monitor = try ProgramMonitor(backend)
        monitor.processor.stop()
        // The run to come does not know of it.
        #expect(try monitor.perform(.checksum(address: Guests.base, count: 8)) == ProgramMonitor.idle)
        #expect(monitor.ports.count == 2)
        for round in 0..<50 {
            let end = Monitor(Optional<Result<ProcessorExit, BackendError>>.none)
            let again = try ProgramMonitor(backend)
            let counter = Guests.address(UInt64(round))
            _ = try again.perform(.checksum(address: Guests.base, count: 1))
            let forever = GuestCommand.hammer(passes: .max, address: counter.rawValue, count: 8)
            try #require(backend.program.memory.mailbox(of: 0)).put(forever)
            try again.processor.start(again, answeringRequestsWith: Refusing()) { result in end.update { $0 = result } }
            // Until it is known to be at work a stop might come before the run and be forgotten.
            #expect(waits { (try? backend.hostRead(1, from: counter)) != [0] })
            again.processor.stop()
            let result = try #require(end.wait(for: .seconds(10)) { $0 })
            #expect(try result.get() == .interrupted)
        }
    }

    /// The gate alone: a stop that comes while it is closed, while the processor waits at it, and while it is inside.
    @Test func aStopAtTheGateIsNotLost() throws {
        let page = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { unsafe page.deallocate() }
        unsafe page.initializeMemory(as: UInt8.self, repeating: 0, count: 4096)
        let address = UInt(bitPattern: page)
        func flag() -> UInt8 {
            unsafe UnsafeRawPointer(bitPattern: address)?.load(fromByteOffset: 1, as: UInt8.self) ?? 0
        }
        let gate = QuiesceGate(.test)
        // Inside: the flag is up, so that the entry comes straight back; and it is down again after.
        #expect(gate.enter(0, runAddress: address, completingOnly: false) == .inside)
        #expect(flag() == 0)
        gate.stop(0)
        #expect(flag() == 1)
        gate.leave(0)
        #expect(flag() == 0)
        // Outside: no entry, but an access may be finished.
        #expect(gate.enter(0, runAddress: address, completingOnly: false) == .stopped)
        #expect(gate.enter(0, runAddress: address, completingOnly: true) == .inside)
        #expect(flag() == 1)
        gate.leave(0)
        // Another processor's stop is its own.
        #expect(gate.enter(1, runAddress: address, completingOnly: false) == .inside)
        gate.leave(1)
        gate.forgetStop(of: 0)
        // Waiting at a closed gate.
        let entered = Monitor(Optional<QuiesceGate.Entry>.none)
        try gate.withProcessorsOut { () throws(BackendError) in
            do {
                try Thread.start {
                    let entry = gate.enter(0, runAddress: address, completingOnly: false)
                    entered.update { $0 = entry }
                }
            } catch { Issue.record("\(error)") }
            gate.stop(0)
            #expect(entered.wait(for: .milliseconds(20)) { $0 } ?? .stopped == .stopped)
        }
        #expect(entered.wait(for: .seconds(10)) { $0 } == .stopped)
        // Shut is for good, whatever is asked for.
        gate.shut()
        #expect(gate.isEmpty)
        #expect(gate.enter(0, runAddress: address, completingOnly: true) == .shut)
        gate.forgetStop(of: 0)
        #expect(gate.enter(0, runAddress: address, completingOnly: false) == .shut)
    }
}

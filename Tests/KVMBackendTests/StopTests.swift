import CKVM
import Custody
import Synchronization
import Testing

@testable import KVMBackend

/// A stop that comes in the midst of an instruction: what the guest asks for meanwhile is answered, all of it and once.
@Suite(.needsKVM, .timeLimit(.minutes(60))) struct StopTests {
    /// A device whose byte at each address is a function of the address.
    private final class Device: ProcessorExitHandler {
        private struct State {
            var read: [UInt64] = []
            var written: [(address: UInt64, byte: UInt8)] = []
            var port: [UInt8] = []
            var accesses = 0
            var accessesAfterStop = 0
            var stopAt: Int?
            var isStopped = false
            var isDone = false
        }

        private let processor: KVMProcessor
        private let state = Mutex(State())

        init(_ processor: KVMProcessor, stopAt: Int?) {
            self.processor = processor
            state.withLock { $0.stopAt = stopAt }
        }

        static func byte(_ address: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: address &* 167 &+ 13) }

        var read: [UInt64] { state.withLock { $0.read } }
        var written: [(address: UInt64, byte: UInt8)] { state.withLock { $0.written } }
        var port: [UInt8] { state.withLock { $0.port } }
        var accesses: Int { state.withLock { $0.accesses } }
        var accessesAfterStop: Int { state.withLock { $0.accessesAfterStop } }
        /// Whether the guest has rung the doorbell.
        var isDone: Bool { state.withLock { $0.isDone } }

        private func access(_ body: (inout State) -> Void) {
            let stops = state.withLock { state in
                if state.isStopped { state.accessesAfterStop += 1 }
                state.accesses += 1
                body(&state)
                guard state.accesses == state.stopAt else { return false }
                state.isStopped = true
                return true
            }
            if stops { processor.stop() }
        }

        func readMemory(at address: GuestPhysicalAddress, byteCount: Int) -> UInt64 {
            access { state in for index in 0..<UInt64(byteCount) { state.read.append(address.rawValue + index) } }
            return (0..<UInt64(byteCount)).reversed().reduce(0) { value, index in
                value << 8 | UInt64(Device.byte(address.rawValue + index))
            }
        }

        func writeMemory(_ value: UInt64, at address: GuestPhysicalAddress, byteCount: Int) {
            access { state in
                for index in 0..<UInt64(byteCount) {
                    state.written.append((address.rawValue + index, UInt8(truncatingIfNeeded: value >> (8 * index))))
                }
            }
        }

        func readPort(_ port: UInt16, byteCount: Int) -> UInt32 {
            var value: UInt32 = 0
            access { state in
                value = UInt32(Device.byte(UInt64(state.port.count)))
                state.port.append(UInt8(value))
            }
            return value
        }

        func writePort(_ value: UInt32, to port: UInt16, byteCount: Int) {
            state.withLock { $0.isDone = true }
            processor.stop()
        }
    }

    /// An instruction of the guest's, and what it moves from where to where.
    private struct Story {
        let code: [UInt8]
        let source: UInt64
        let target: UInt64
        let count: UInt64
        var port: UInt64 = UInt64(CKVM_PORT_DOORBELL)
    }

    private static let device = Guests.address(1000, 4090).rawValue
    private static let ram = Guests.address(100, 4000).rawValue

    /// Runs a story, with a stop from within the access of that number, and on to its end.
    private func play(_ story: Story, stopAt: Int?, on backend: KVMBackend) throws -> Device {
        // The story, then: mov $doorbell, %edx; out %al, %dx; jmp to itself
        let code =
            story.code + [
                0xBA, UInt8(CKVM_PORT_DOORBELL & 0xFF), UInt8(CKVM_PORT_DOORBELL >> 8), 0, 0, 0xEE, 0xEB, 0xFE,
            ]
        try backend.hostWrite(code, to: Guests.address(3))
        let processor = try ProgramMonitor(backend).processor
        // Vector instructions want the operating system's word (CR4.OSFXSR).
        var special = try processor.specialRegisters()
        special.cr4 |= 1 << 9
        try processor.setSpecialRegisters(special)
        var registers = try processor.registers()
        registers.rip = Guests.address(3).rawValue
        registers.rsi = story.source
        registers.rdi = story.target
        registers.rcx = story.count
        registers.rdx = story.port
        try processor.setRegisters(registers)
        let device = Device(processor, stopAt: stopAt)
        var runs = 0
        repeat {
            #expect(try processor.run(device, answeringRequestsWith: Refusing()) == .interrupted)
            runs += 1
        } while !device.isDone && runs < 10
        #expect(device.isDone)
        return device
    }

    /// `rep movsb` out of a device's memory, stopped within each of its first accesses in turn.
    @Test func aCopyFromADeviceIsWhole() throws {
        let backend = try Guests.backend(.dual)
        let count: UInt64 = 300
        let expected = (StopTests.device..<StopTests.device + count).map(Device.byte)
        let story = Story(code: [0xF3, 0xA4], source: StopTests.device, target: StopTests.ram, count: count)
        for stop in [nil, 1, 2, 3, 10, 17, 40, 299, 300] {
            try backend.hostWrite([UInt8](repeating: 0, count: Int(count)), to: GuestPhysicalAddress(StopTests.ram))
            let device = try play(story, stopAt: stop, on: backend)
            #expect(try backend.hostRead(Int(count), from: GuestPhysicalAddress(StopTests.ram)) == expected)
            // Each byte was asked for once, in order.
            #expect(device.read == Array(StopTests.device..<StopTests.device + count), "stopped at \(stop ?? 0)")
        }
    }

    /// `rep movsb` into a device's memory.
    @Test func aCopyToADeviceIsWhole() throws {
        let backend = try Guests.backend(.dual)
        let count: UInt64 = 300
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ 1) }
        try backend.hostWrite(bytes, to: GuestPhysicalAddress(StopTests.ram))
        let story = Story(code: [0xF3, 0xA4], source: StopTests.ram, target: StopTests.device, count: count)
        for stop in [nil, 1, 2, 10, 17, 40, 300] {
            let device = try play(story, stopAt: stop, on: backend)
            #expect(device.written.map(\.byte) == bytes, "stopped at \(stop ?? 0)")
            #expect(device.written.map(\.address) == Array(StopTests.device..<StopTests.device + count))
        }
    }

    /// One access that lies in two pages of a device's, or is wider than KVM passes on at once.
    @Test func anAccessInPartsIsWhole() throws {
        let backend = try Guests.backend(.dual)
        // mov (%rsi), %rax; mov %rax, (%rdi)
        let word = Story(
            code: [0x48, 0x8B, 0x06, 0x48, 0x89, 0x07],
            source: StopTests.device,
            target: StopTests.ram,
            count: 0
        )
        // movups (%rsi), %xmm0; movups %xmm0, (%rdi)
        let vector = Story(
            code: [0x0F, 0x10, 0x06, 0x0F, 0x11, 0x07],
            source: StopTests.device,
            target: StopTests.ram,
            count: 0
        )
        for (story, count) in [(word, 8), (vector, 16)] {
            let range = StopTests.device..<StopTests.device + UInt64(count)
            for stop in [nil, 1, 2, 3] {
                try backend.hostWrite([UInt8](repeating: 0, count: count), to: GuestPhysicalAddress(StopTests.ram))
                let device = try play(story, stopAt: stop, on: backend)
                #expect(device.accesses > 1)
                #expect(
                    try backend.hostRead(count, from: GuestPhysicalAddress(StopTests.ram)) == range.map(Device.byte),
                    "stopped at \(stop ?? 0)"
                )
                #expect(device.read == Array(range))
            }
        }
    }

    /// `rep insb`: a port that is read many times.
    @Test func aStringFromAPortIsWhole() throws {
        let backend = try Guests.backend(.dual)
        let count: UInt64 = 9000
        let story = Story(code: [0xF3, 0x6C], source: 0, target: StopTests.ram, count: count, port: 0x1234)
        for stop in [nil, 1, 100, 5000] {
            try backend.hostWrite([UInt8](repeating: 0, count: Int(count)), to: GuestPhysicalAddress(StopTests.ram))
            let device = try play(story, stopAt: stop, on: backend)
            #expect(device.port == (0..<count).map(Device.byte))
            #expect(try backend.hostRead(Int(count), from: GuestPhysicalAddress(StopTests.ram)) == device.port)
        }
    }

    /// A guest that copies from a device for ever is stopped all the same, within what KVM emulates at once.
    @Test func aCopyWithoutEndIsStopped() throws {
        let backend = try Guests.backend(.dual)
        let processor = try ProgramMonitor(backend).processor
        try backend.hostWrite([0xF3, 0xA4], to: Guests.address(3))
        var registers = try processor.registers()
        registers.rip = Guests.address(3).rawValue
        registers.rsi = StopTests.device
        registers.rdi = Guests.address(20_000).rawValue
        registers.rcx = .max
        try processor.setRegisters(registers)
        let device = Device(processor, stopAt: 100)
        #expect(try processor.run(device, answeringRequestsWith: Refusing()) == .interrupted)
        print("accesses after a stop: \(device.accessesAfterStop)")
        #expect(device.accessesAfterStop <= 2 * 1024 + 2)
        // What was copied is what was read, and the registers say so.
        let after = try processor.registers()
        #expect(UInt64.max - after.rcx == UInt64(device.written.count))
        #expect(device.written.map(\.byte) == device.read.map(Device.byte))
    }

    /// A stop that comes as soon as the run has been started ends it, whether its thread has got anywhere or not.
    @Test func aStopRightAfterTheStartCounts() throws {
        let backend = try Guests.backend(.dual)
        try backend.hostWrite([0xEB, 0xFE], to: Guests.address(3))
        let processor = try ProgramMonitor(backend).processor
        var registers = try processor.registers()
        registers.rip = Guests.address(3).rawValue
        try processor.setRegisters(registers)
        for _ in 0..<50 {
            let end = Monitor(Optional<Result<ProcessorExit, BackendError>>.none)
            try processor.start(Nothing(), answeringRequestsWith: Refusing()) { result in end.update { $0 = result } }
            processor.stop()
            let result = try #require(end.wait(for: .seconds(20)) { $0 })
            #expect(try result.get() == .interrupted)
        }
        // Nothing of it is left for a run to come.
        let later = Device(processor, stopAt: nil)
        // out %al, %dx
        try backend.hostWrite([0xEE, 0xEB, 0xFE], to: Guests.address(3))
        registers.rdx = UInt64(CKVM_PORT_DOORBELL)
        try processor.setRegisters(registers)
        #expect(try processor.run(later, answeringRequestsWith: Refusing()) == .interrupted)
        #expect(later.isDone)
    }

    private struct Nothing: ProcessorExitHandler {}
}

import CKVM
import Custody
import SystemPackage
import Testing

@testable import KVMBackend

/// The state of a processor as Swift values, there and back, on the real kernel.
@Suite(.needsKVM, .timeLimit(.minutes(60))) struct RegisterTests {
    private func processor() throws -> (backend: KVMBackend, processor: KVMProcessor) {
        let backend = try Guests.backend(.revoked)
        return (backend, try #require(backend.processor(0)))
    }

    @Test func generalRegistersGoThereAndBack() throws {
        let (_, processor) = try processor()
        var registers = GeneralRegisters()
        registers.rax = 0x0101_0202_0303_0404
        registers.rbx = 2
        registers.rcx = 3
        registers.rdx = 4
        registers.rsi = 5
        registers.rdi = 6
        registers.rsp = 0x7000
        registers.rbp = .max
        registers.r8 = 8
        registers.r9 = 9
        registers.r10 = 10
        registers.r11 = 11
        registers.r12 = 12
        registers.r13 = 13
        registers.r14 = 14
        registers.r15 = 1 << 63
        registers.rip = 0x1_2345
        registers.rflags = 0x246
        try processor.setRegisters(registers)
        #expect(try processor.registers() == registers)
        try processor.setRegisters(GeneralRegisters())
        #expect(try processor.registers() == GeneralRegisters())
    }

    @Test func specialRegistersGoThereAndBack() throws {
        let (backend, processor) = try processor()
        var special = try processor.specialRegisters()
        #expect(try processor.specialRegisters() == special)
        LongMode.configure(&special, pageTable: backend.program.memory.pageTable)
        special.cr2 = 0x1234_5000
        special.cr8 = 3
        special.fs.base = 0x5000
        special.gs.base = 0x6000
        special.gdt = .init(base: 0x7000, limit: 0xFF)
        special.idt = .init(base: 0x8000, limit: 0xFFF)
        try processor.setSpecialRegisters(special)
        let back = try processor.specialRegisters()
        #expect(back.cr0 == special.cr0 && back.cr2 == special.cr2 && back.cr3 == special.cr3)
        #expect(back.cr4 == special.cr4 && back.cr8 == special.cr8 && back.efer == special.efer)
        #expect(back.cs == special.cs && back.ss == special.ss && back.ds == special.ds)
        #expect(back.fs.base == 0x5000 && back.gs.base == 0x6000)
        #expect(back.gdt == special.gdt && back.idt == special.idt)
    }

    /// Values that contradict each other are the kernel's error, with its name and its meaning, and change nothing.
    @Test func contradictionsAreRefused() throws {
        let (_, processor) = try processor()
        let before = try processor.specialRegisters()
        var special = before
        special.cr0 = 0x8000_0000  // paging without protection
        let error = #expect(throws: BackendError.self) { try processor.setSpecialRegisters(special) }
        #expect(error?.code == .system)
        let cause = try #require(error?.cause as? KVMError)
        #expect(cause.call == "KVM_SET_SREGS")
        #expect(cause.errno == .invalidArgument)
        #expect(cause.arguments.contains("cr0 0x80000000"))
        #expect(try processor.specialRegisters() == before)
    }

    @Test func debugRegistersGoThereAndBack() throws {
        let (_, processor) = try processor()
        var debug = try processor.debugRegisters()
        debug.breakpoints = [0x1000, 0x2000, 0x3000, 0x4000]
        debug.dr7 = 0x400 | 0b11
        try processor.setDebugRegisters(debug)
        #expect(try processor.debugRegisters() == debug)
    }

    @Test func modelSpecificRegistersGoThereAndBack() throws {
        let (_, processor) = try processor()
        // IA32_SYSENTER_CS, ESP, EIP; STAR, LSTAR; TSC_AUX is not everywhere.
        let registers: [(index: UInt32, value: UInt64)] = [
            (0x174, 0x10), (0x175, 0x7000), (0x176, 0x8000), (0xC000_0081, 0x23_0010_0000_0000), (0xC000_0082, 0x9000),
        ]
        try processor.setModelSpecificRegisters(registers)
        #expect(try processor.modelSpecificRegisters(registers.map(\.index)) == registers.map(\.value))
        #expect(try processor.modelSpecificRegisters([]) == [])
        // Those before the one that there is not are set.
        let error = #expect(throws: BackendError.self) {
            try processor.setModelSpecificRegisters([(0x175, 0x7777), (0xDEAD_0000, 1), (0x176, 0x1111)])
        }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("0xdead0000") == true)
        #expect(try processor.modelSpecificRegisters([0x175, 0x176]) == [0x7777, 0x8000])
        let unread = #expect(throws: BackendError.self) { try processor.modelSpecificRegisters([0x175, 0xDEAD_0000]) }
        #expect(unread?.message.contains("0xdead0000") == true)
    }

    @Test func theKernelsListOfMSRsIsReadable() throws {
        let device = try KVMDevice(kernel: LinuxKernel())
        let list = try device.modelSpecificRegisters()
        #expect(list.count > 10)
        #expect(Set(list).count == list.count)
        #expect(list.contains(0x174))
        let (_, processor) = try processor()
        // What KVM says it keeps can be read, one by one.
        let unread = list.filter { (try? processor.modelSpecificRegisters([$0])) == nil }
        #expect(unread.isEmpty)
    }

    @Test func extendedStateGoesThereAndBack() throws {
        let (_, processor) = try processor()
        var state = try processor.extendedState()
        #expect(state.bytes.count == 4096)
        // XMM0, in the legacy area, and its bit in the header's mask of states.
        for index in 0..<16 { state.bytes[160 + index] = UInt8(0xA0 + index) }
        state.bytes[512] |= 0b11
        try processor.setExtendedState(state)
        let back = try processor.extendedState()
        #expect(back.bytes[160..<176] == state.bytes[160..<176])
        // A mask with a state that no processor has is refused.
        state.bytes[519] = 0xFF
        let error = #expect(throws: BackendError.self) { try processor.setExtendedState(state) }
        #expect((error?.cause as? KVMError)?.call == "KVM_SET_XSAVE")
        #expect(try processor.extendedState() == back)
    }

    @Test func identificationGoesThereAndBack() throws {
        let (_, processor) = try processor()
        let leaves = try processor.identification().leaves
        #expect(leaves.count > 5)
        #expect(leaves.contains { $0.function == 0 })
        // Whatever brand this machine has, the guest has another one.
        let other = leaves.map { leaf in
            var leaf = leaf
            if leaf.function == 0x8000_0002 { leaf.eax = 0x2121_2121 }
            return leaf
        }
        try processor.setIdentification(ProcessorIdentification(other))
        let back = try processor.identification().leaves
        #expect(back.count == other.count)
        #expect(back.first { $0.function == 0x8000_0002 }?.eax == other.first { $0.function == 0x8000_0002 }?.eax)
    }

    /// Registers are those of the guest's own instructions.
    @Test func theGuestsInstructionsChangeThem() throws {
        let (backend, processor) = try processor()
        _ = try ProgramMonitor(backend).perform(.checksum(address: Guests.base, count: 64))
        let registers = try processor.registers()
        // It is back at its doorbell.
        #expect(registers.rdx & 0xFFFF == UInt64(CKVM_PORT_DOORBELL))
        #expect(registers.rdi == backend.program.memory.mailboxAddress(of: 0))
        #expect(registers.rip > backend.program.memory.program)
        #expect(registers.rip < backend.program.memory.program + UInt64(ckvm_guest_program_size()))
    }

    /// While a processor runs its registers are nobody else's; from within its exits they are.
    @Test func registersOfARunningProcessorAreRefused() throws {
        let (backend, processor) = try processor()
        let monitor = try ProgramMonitor(backend)
        _ = try monitor.perform(.checksum(address: Guests.base, count: 1))
        let end = Monitor(Optional<Result<ProcessorExit, BackendError>>.none)
        let forever = GuestCommand.hammer(passes: .max, address: Guests.base, count: 8)
        try #require(backend.program.memory.mailbox(of: 0)).put(forever)
        try processor.start(monitor, answeringRequestsWith: Refusing()) { result in end.update { $0 = result } }
        #expect(try waits { try backend.hostRead(8, from: Guests.address(0)) != [UInt8](repeating: 0, count: 8) })
        for use in [
            { _ = try processor.registers() }, { _ = try processor.specialRegisters() },
            { try processor.setRegisters(GeneralRegisters()) },
            { _ = try processor.run(monitor, answeringRequestsWith: Refusing()) },
        ] as [() throws -> Void] {
            let error = #expect(throws: BackendError.self) { try use() }
            #expect(error?.code == .invalidArgument)
        }
        processor.stop()
        let result = try #require(end.wait(for: .seconds(10)) { $0 })
        #expect(try result.get() == .interrupted)
        _ = try processor.registers()
    }
}

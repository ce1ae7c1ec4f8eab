import CKVM
import Custody
import SystemPackage

@testable import KVMBackend

// `KVM_RUN`: the guest program, performed a piece at a time, so that slots and attributes can change in between.
extension FakeKernel {
    func run(_ descriptor: Int32) throws(Errno) -> Int {
        while true {
            let step: FakeProgram.Step = state.update { state in
                guard case .processor(let number)? = state.objects[descriptor], var processor = state.processors[number]
                else { return .error(.badFileDescriptor) }
                processor.complete()
                state.processors[number] = processor
                // Somebody wants the processor out: as a signal would.
                guard !processor.isWantedOut else { return .error(.interrupted) }
                if processor.ring?.isFull == true { return processor.exitsWithFullRing() }
                let step = FakeProgram(state: state).step(&processor)
                if let address = processor.written,
                    let (slot, page) = state.machines[processor.machine]?.write(address)
                {
                    processor.ring?.push(slot, page)
                }
                processor.written = nil
                state.processors[number] = processor
                return step
            }
            switch step {
            case .more: continue
            case .exit: return 0
            case .error(let errno): throw errno
            }
        }
    }
}

/// The guest program on a processor of the fake kernel.
struct FakeProgram {
    /// How a piece of work ended.
    enum Step {
        case more
        case exit
        case error(Errno)
    }

    let state: FakeKernel.State

    func step(_ processor: inout FakeProcessor) -> Step {
        // Its code and its mailbox have to be somewhere.
        guard case .memory = FakeAccess(processor.registers.rip, of: processor, in: state),
            case .memory(let mailbox) = FakeAccess(processor.registers.rdi, of: processor, in: state)
        else { return processor.exits(internalError: 1) }
        switch processor.program {
        case .start:
            processor.program = .idle
            return processor.exits(port: CKVM_PORT_DOORBELL)
        case .idle:
            processor.accumulator = FakeProcessor.hashBasis
            processor.program = .working(done: 0, passes: 0)
            return .more
        case .called:
            var result: UInt64 = 0
            _ = FakeAccess.copy(
                from: processor.run + UInt(CKVM_RUN_DETAILS + CKVM_HYPERCALL_RESULT),
                count: 8,
                to: &result
            )
            FakeProgram.store(result, mailbox, CKVM_MAILBOX_RESULT)
            return finish(&processor, mailbox)
        case .asked:
            FakeProgram.store(FakeProgram.load(mailbox, CKVM_MAILBOX_REPLY), mailbox, CKVM_MAILBOX_RESULT)
            FakeProgram.store(
                FakeProgram.load(mailbox, CKVM_MAILBOX_REPLY_ADDRESS),
                mailbox,
                CKVM_MAILBOX_RESULT_ADDRESS
            )
            return finish(&processor, mailbox)
        case .askedSome(let count):
            let entry = mailbox + UInt(CKVM_MAILBOX_DATA) + UInt((count - 1) * UInt64(CKVM_ENTRY_SIZE))
            FakeProgram.store(FakeProgram.load(mailbox, CKVM_MAILBOX_REPLY), entry, CKVM_ENTRY_REPLY)
            FakeProgram.store(FakeProgram.load(mailbox, CKVM_MAILBOX_REPLY_ADDRESS), entry, CKVM_ENTRY_REPLY_ADDRESS)
            return askNext(&processor, mailbox, count)
        case .working(let done, let passes): return work(&processor, mailbox, done, passes)
        }
    }

    private func work(_ processor: inout FakeProcessor, _ mailbox: UInt, _ done: UInt64, _ passes: UInt64) -> Step {
        let command = Int32(truncatingIfNeeded: FakeProgram.load(mailbox, CKVM_MAILBOX_COMMAND) & 0xFFFF_FFFF)
        let address = FakeProgram.load(mailbox, CKVM_MAILBOX_ADDRESS)
        let count = FakeProgram.load(mailbox, CKVM_MAILBOX_COUNT)
        let value = FakeProgram.load(mailbox, CKVM_MAILBOX_VALUE)
        switch command {
        case CKVM_COMMAND_REQUEST:
            FakeProgram.store(address, mailbox, CKVM_MAILBOX_REQUEST_ADDRESS)
            FakeProgram.store(count, mailbox, CKVM_MAILBOX_REQUEST_COUNT)
            FakeProgram.store(value, mailbox, CKVM_MAILBOX_REQUEST_TARGET)
            processor.program = .asked
            return processor.exits(port: CKVM_PORT_REQUEST)
        case CKVM_COMMAND_REQUESTS: return askNext(&processor, mailbox, 0)
        case CKVM_COMMAND_HYPERCALL:
            let call = UInt64(CKVM_HC_MAP_GPA_RANGE)
            guard (state.machines[processor.machine]?.passedHypercalls ?? 0) & 1 << call != 0 else {
                // KVM answers by itself: there is no such call.
                FakeProgram.store(HypercallResult.noSuchCall.rawValue, mailbox, CKVM_MAILBOX_RESULT)
                return finish(&processor, mailbox)
            }
            processor.program = .called
            return processor.exits(hypercall: call, [address, count, value])
        case CKVM_COMMAND_HAMMER where passes == value: return finish(&processor, mailbox)
        case CKVM_COMMAND_HAMMER:
            guard done < count else {
                processor.program = .working(done: 0, passes: passes + 1)
                return .more
            }
            let next = FakeProcessor.Completion(program: .working(done: done + 64, passes: passes))
            return access(&processor, address + done, isWrite: false, changes: true, width: 8, next) { host in
                guard var word = FakeAccess.bytes(at: host, count: 8) else { return nil }
                let sum = word.reversed().reduce(0) { $0 << 8 | UInt64($1) } &+ 1
                for index in word.indices { word[index] = UInt8(truncatingIfNeeded: sum >> (8 * UInt64(index))) }
                return FakeAccess.put(word, at: host) ? .working(done: done + 64, passes: passes) : nil
            }
        case CKVM_COMMAND_WRITE, CKVM_COMMAND_READ, CKVM_COMMAND_FILL, CKVM_COMMAND_CHECKSUM, CKVM_COMMAND_COMPARE:
            guard done < count else {
                if command == CKVM_COMMAND_CHECKSUM {
                    FakeProgram.store(processor.accumulator, mailbox, CKVM_MAILBOX_RESULT)
                }
                if command == CKVM_COMMAND_COMPARE { FakeProgram.store(count, mailbox, CKVM_MAILBOX_RESULT) }
                return finish(&processor, mailbox)
            }
            let at = address + done
            let part = Int(min(count - done, UInt64(FakeFile.page) - at % UInt64(FakeFile.page)))
            let isWrite = command == CKVM_COMMAND_WRITE || command == CKVM_COMMAND_FILL
            let isByBytes = command == CKVM_COMMAND_CHECKSUM || command == CKVM_COMMAND_COMPARE
            var accumulator = processor.accumulator
            let width = isByBytes || count - done < 8 ? 1 : 8
            let data = mailbox + UInt(CKVM_MAILBOX_DATA) + UInt(done)
            var stored = value
            if command == CKVM_COMMAND_WRITE { _ = FakeAccess.copy(from: data, count: width, to: &stored) }
            var next = FakeProcessor.Completion(program: .working(done: done + UInt64(width), passes: 0))
            if command == CKVM_COMMAND_READ { next.target = (data, width) }
            let step = access(
                &processor,
                at,
                isWrite: isWrite,
                width: width,
                value: stored.lowBytes(width),
                next
            ) { host in
                transfer(command, mailbox, host, part, done, value, &accumulator)
                    .map { .working(done: $0, passes: 0) }
            }
            processor.accumulator = accumulator
            if command == CKVM_COMMAND_COMPARE, accumulator != FakeProcessor.hashBasis {
                FakeProgram.store(accumulator, mailbox, CKVM_MAILBOX_RESULT)
                return finish(&processor, mailbox)
            }
            return step
        case CKVM_COMMAND_END: return processor.exits(port: CKVM_PORT_END)
        default:
            FakeProgram.setStatus(CKVM_STATUS_UNKNOWN_COMMAND, mailbox)
            processor.program = .idle
            return processor.exits(port: CKVM_PORT_DOORBELL)
        }
    }

    /// Makes the next of many requests, or is done.
    private func askNext(_ processor: inout FakeProcessor, _ mailbox: UInt, _ count: UInt64) -> Step {
        guard count < FakeProgram.load(mailbox, CKVM_MAILBOX_COUNT) else { return finish(&processor, mailbox) }
        let entry = mailbox + UInt(CKVM_MAILBOX_DATA) + UInt(count * UInt64(CKVM_ENTRY_SIZE))
        for (from, to) in [
            (CKVM_ENTRY_ADDRESS, CKVM_MAILBOX_REQUEST_ADDRESS), (CKVM_ENTRY_COUNT, CKVM_MAILBOX_REQUEST_COUNT),
            (CKVM_ENTRY_TARGET, CKVM_MAILBOX_REQUEST_TARGET),
        ] { FakeProgram.store(FakeProgram.load(entry, from), mailbox, to) }
        processor.program = .askedSome(count + 1)
        return processor.exits(port: CKVM_PORT_REQUEST)
    }

    /// Moves bytes between memory and mailbox, or looks at them.
    ///
    /// - Returns: how far the command has got.
    private func transfer(
        _ command: Int32,
        _ mailbox: UInt,
        _ host: UInt,
        _ count: Int,
        _ done: UInt64,
        _ value: UInt64,
        _ accumulator: inout UInt64
    ) -> UInt64? {
        let data = mailbox + UInt(CKVM_MAILBOX_DATA) + UInt(done)
        let end = done + UInt64(count)
        switch command {
        case CKVM_COMMAND_WRITE:
            guard let bytes = FakeAccess.bytes(at: data, count: count), FakeAccess.put(bytes, at: host) else {
                return nil
            }
        case CKVM_COMMAND_FILL:
            let isUniform = value == (value & 0xFF) &* 0x0101_0101_0101_0101
            let bytes =
                isUniform
                ? [UInt8](repeating: UInt8(truncatingIfNeeded: value), count: count)
                : (done..<end).map { UInt8(truncatingIfNeeded: value >> (8 * ($0 % 8))) }
            guard FakeAccess.put(bytes, at: host) else { return nil }
        default:
            guard let bytes = FakeAccess.bytes(at: host, count: count) else { return nil }
            if command == CKVM_COMMAND_READ, !FakeAccess.put(bytes, at: data) { return nil }
            if command == CKVM_COMMAND_CHECKSUM {
                for byte in bytes { accumulator = (accumulator ^ UInt64(byte)) &* 0x100_0000_01B3 }
            }
            let wanted = UInt8(truncatingIfNeeded: value)
            if command == CKVM_COMMAND_COMPARE, !Touch.uniform(bytes, wanted),
                let index = bytes.firstIndex(where: { $0 != wanted })
            {
                accumulator = done + UInt64(index)
            }
        }
        return end
    }

    /// Makes one access, and exits where it is stopped: at a read, where it reads before it `changes` memory.
    private func access(
        _ processor: inout FakeProcessor,
        _ address: UInt64,
        isWrite: Bool,
        changes: Bool? = nil,
        width: Int,
        value: UInt64 = 0,
        _ completion: FakeProcessor.Completion,
        _ body: (UInt) -> FakeProcessor.Program?
    ) -> Step {
        switch FakeAccess(address, of: processor, in: state) {
        case .memory
        where (changes ?? isWrite) && state.machines[processor.machine]?.slot(at: address)?.isReadOnly == true:
            processor.completion = completion
            return processor.exits(mmio: address, width: width, isWrite: true, value)
        case .memory(let host):
            guard let next = body(host) else { return .error(.badAddress) }
            processor.program = next
            if changes ?? isWrite { processor.written = address }
            return .more
        case .mmio:
            processor.completion = completion
            return processor.exits(mmio: address, width: width, isWrite: isWrite, value)
        case .fault(let isPrivate): return processor.exits(memoryFault: address, isPrivate: isPrivate)
        case .error(let errno): return .error(errno)
        }
    }

    private func finish(_ processor: inout FakeProcessor, _ mailbox: UInt) -> Step {
        FakeProgram.setStatus(CKVM_STATUS_DONE, mailbox)
        processor.program = .idle
        return processor.exits(port: CKVM_PORT_DOORBELL)
    }

    private static func setStatus(_ status: Int32, _ mailbox: UInt) {
        _ = FakeAccess.put([UInt8(status), 0, 0, 0], at: mailbox + UInt(CKVM_MAILBOX_STATUS))
    }

    private static func load(_ mailbox: UInt, _ offset: Int32) -> UInt64 {
        var word: UInt64 = 0
        _ = FakeAccess.copy(from: mailbox + UInt(offset), count: 8, to: &word)
        return word
    }

    private static func store(_ word: UInt64, _ mailbox: UInt, _ offset: Int32) {
        let bytes = (UInt64(0)..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
        _ = FakeAccess.put(bytes, at: mailbox + UInt(offset))
    }
}

// The page that a processor shares with user space.
extension FakeProcessor {
    /// Whether user space has set `immediate_exit`.
    var isWantedOut: Bool {
        var byte: UInt8 = 0
        _ = FakeAccess.copy(from: run + 1, count: 1, to: &byte)
        return byte != 0
    }

    /// Ends the instruction that user space has answered.
    mutating func complete() {
        guard let completion else { return }
        self.completion = nil
        if let (address, count) = completion.target,
            let bytes = FakeAccess.bytes(at: run + UInt(CKVM_RUN_DETAILS + CKVM_MMIO_DATA), count: count)
        {
            _ = FakeAccess.put(bytes, at: address)
        }
        program = completion.program
    }

    func exits(port: Int32) -> FakeProgram.Step {
        // Output, one byte, the port, once; and where the byte is.
        let number = UInt64(UInt32(bitPattern: port))
        return exits(.io, [1 | 1 << 8 | number << 16 | 1 << 32, UInt64(FakeFile.page)])
    }

    func exits(mmio address: UInt64, width: Int, isWrite: Bool, _ value: UInt64) -> FakeProgram.Step {
        exits(.mmio, [address, value, UInt64(width) | (isWrite ? 1 << 32 : 0)])
    }

    func exits(internalError code: UInt64) -> FakeProgram.Step { exits(.internalError, [code]) }

    func exitsWithFullRing() -> FakeProgram.Step { exits(.dirtyRingFull, []) }

    func exits(hypercall number: UInt64, _ arguments: [UInt64]) -> FakeProgram.Step {
        exits(.hypercall, [number] + arguments + [UInt64](repeating: 0, count: 7 - arguments.count))
    }

    /// A memory fault comes with EFAULT. It is about the whole page.
    func exits(memoryFault address: UInt64, isPrivate: Bool) -> FakeProgram.Step {
        let page = UInt64(FakeFile.page)
        let flags = isPrivate ? UInt64(CKVM_MEMORY_EXIT_PRIVATE) : 0
        _ = exits(.memoryFault, [flags, address / page * page, page])
        return .error(.badAddress)
    }

    private func exits(_ reason: ProcessorExitReason, _ words: [UInt64]) -> FakeProgram.Step {
        _ = FakeAccess.put([UInt8(truncatingIfNeeded: reason.rawValue), 0, 0, 0], at: run + 8)
        let bytes = words.flatMap { word in (UInt64(0)..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
        _ = FakeAccess.put(bytes, at: run + 32)
        return .exit
    }
}

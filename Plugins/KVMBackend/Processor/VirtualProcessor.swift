import CKVM
import Custody
import SystemPackage

/// The guest program on a virtual processor: a thread of its own, which runs it one command at a time.
final class VirtualProcessor: Sendable {
    private struct Job {
        let command: GuestCommand
        let handler: any GuestRequestHandler
    }

    private struct State {
        var thread: pthread_t?
        var isTaken = false
        var job: Job?
        var outcome: Result<GuestCommandResult, BackendError>?
        /// Why no command is taken any more.
        var end: BackendError?
        var hasEnded = false
    }

    /// The processor.
    let processor: KVMProcessor
    /// The processor's number.
    var index: Int { processor.index }
    private let programRegisters: SpecialRegisters
    private let boot: BootMemory
    private let mailbox: Mailbox
    private let gate: QuiesceGate
    private let state = Monitor(State())

    /// How long a command may take: far more than any that ends.
    private static let limit = Duration.seconds(60)

    /// Makes the processor ready to run the guest program, and starts its thread.
    init(
        _ index: Int,
        of machine: borrowing VirtualMachine,
        programSlot: BootSlot,
        gate: QuiesceGate,
        tracker: DirtyTracker
    ) throws(BackendError) {
        let boot = programSlot.memory
        guard let mailbox = boot.mailbox(of: index) else {
            throw BackendError(.invalidArgument, "there is no mailbox for processor \(index)")
        }
        do throws(KVMError) {
            processor = try KVMProcessor(
                index,
                of: machine,
                gate: gate,
                tracker: tracker,
                programSlot: programSlot
            )
            var registers = try processor.descriptor.specialRegisters()
            LongMode.configure(&registers, pageTable: boot.pageTable)
            programRegisters = registers
        } catch {
            throw BackendError(.system, "virtual processor \(index) cannot be made", cause: error)
        }
        self.boot = boot
        self.mailbox = mailbox
        self.gate = gate
        // The thread owns the processor until it is told to end.
        try Thread.start { [self] in runThread() }
    }

    /// Whether the caller is on this processor's thread, handling its exit.
    var isCurrent: Bool { state.update { $0.thread.map { pthread_equal($0, pthread_self()) != 0 } ?? false } }

    /// Performs commands that belong together, with no other caller's in between.
    ///
    /// - Throws: `BackendError` with code `invalidArgument` from within this processor's own request, or what `body`
    ///   throws.
    func withTurn<Result>(_ body: () throws(BackendError) -> Result) throws(BackendError) -> Result {
        guard !isCurrent else {
            throw BackendError(.invalidArgument, "processor \(index) is inside a request: it can do nothing else yet")
        }
        _ = state.wait { state -> Void? in
            guard !state.isTaken else { return nil }
            state.isTaken = true
            return ()
        }
        defer { state.update { $0.isTaken = false } }
        return try body()
    }

    /// Performs one command and waits until it is done. Within ``withTurn(_:)``.
    func perform(
        _ command: GuestCommand,
        answeringTo handler: any GuestRequestHandler
    ) throws(BackendError) -> GuestCommandResult {
        // What the program's page tables do not reach would be a page fault that it has no handler for; and what it lives in is
        // no memory of the guest's.
        if let (address, count) = command.touched, count > 0 {
            let end = address.addingReportingOverflow(count)
            if end.overflow || end.partialValue > boot.reach { return .fault(max(address, boot.reach)) }
            let own = boot.placement
            if address < own.address + own.size, own.address < end.partialValue {
                guard address < own.address, let before = command.prefix(own.address - address) else {
                    return .fault(max(address, own.address))
                }
                if case .fault(let fault) = try perform(before, answeringTo: handler) { return .fault(fault) }
                return .fault(own.address)
            }
        }
        try state.update { state throws(BackendError) in
            if let end = state.end { throw end }
            state.outcome = nil
            state.job = Job(command: command, handler: handler)
        }
        let outcome = state.wait(for: VirtualProcessor.limit) { state in
            state.outcome ?? state.end.map { .failure($0) }
        }
        guard let outcome else {
            let error = BackendError(.guestFailed, "processor \(index) did not answer within \(VirtualProcessor.limit)")
            end(because: error)
            throw error
        }
        return try outcome.get()
    }

    /// Fills the guest's page tables for some memory. To be called while the processor is out of the guest.
    func preFault(_ request: inout ckvm_pre_fault_memory) throws(KVMError) {
        try processor.descriptor.preFault(&request)
    }

    /// Ends the processor's run: its thread comes out of the guest and ends. Does not wait.
    func end(because error: BackendError) {
        state.update { state in if state.end == nil { state.end = error } }
        gate.stop(index)
    }

    /// Waits until the thread has ended; at once on that thread itself.
    func waitForEnd() {
        guard !isCurrent else { return }
        _ = state.wait { $0.hasEnded ? () : nil }
    }

    // MARK: On the processor's thread

    private func runThread() {
        state.update { $0.thread = pthread_self() }
        let failure = ThreadDeath.watch {
            do throws(BackendError) {
                try performJobs()
                return nil as BackendError?
            } catch { return error }
        } onDeath: { [self] in
            processor.giveUp()
            endThread(because: processor.hasDied())
        }
        endThread(because: failure)
    }

    /// Performs one command after the other until the processor is to end.
    private func performJobs() throws(BackendError) {
        while let job = state.wait({ state -> Job?? in
            if state.end != nil { return .some(nil) }
            return state.job.map { .some($0) }
        }) ?? nil {
            let isLoaded: Bool
            do throws(BackendError) { isLoaded = try processor.beginProgram() } catch {
                // Somebody else's run is no reason to end.
                publish(.failure(error))
                continue
            }
            publish(.success(try perform(job, isLoaded: isLoaded)))
        }
    }

    /// Notes that no command is taken any more, by this thread or in its name.
    private func endThread(because error: BackendError?) {
        state.update { state in
            if state.end == nil { state.end = error }
            state.job = nil
            state.thread = nil
            state.hasEnded = true
        }
    }

    /// Performs one command, with the processor in its hands as long as that takes.
    private func perform(_ job: Job, isLoaded: Bool) throws(BackendError) -> GuestCommandResult {
        var isIdle = false
        defer { processor.endProgram(isLoaded: isIdle) }
        if !isLoaded {
            try restart()
            _ = try runToDoorbell(job.handler)
        }
        mailbox.put(job.command)
        let result = try result(of: job)
        if case .done = result { isIdle = true }
        return result
    }

    private func publish(_ outcome: Result<GuestCommandResult, BackendError>) {
        state.update { state in
            state.job = nil
            state.outcome = outcome
        }
    }

    private func result(of job: Job) throws(BackendError) -> GuestCommandResult {
        if let address = try runToDoorbell(job.handler) { return .fault(address) }
        guard mailbox.isDone else {
            throw BackendError(.guestFailed, "processor \(index) rang without having done its command")
        }
        let (value, address) = mailbox.results
        var bytes: [UInt8] = []
        switch job.command {
        case .read(let count, _): bytes = mailbox.data(count: count)
        case .requests: bytes = mailbox.data(count: GuestCommand.dataCapacity)
        default: break
        }
        return .done(value: value, address: address, bytes: bytes)
    }

    /// Runs until the program is idle again.
    ///
    /// - Returns: `nil`, or the guest-physical address of an access that was stopped: the program starts again then.
    private func runToDoorbell(_ handler: any GuestRequestHandler) throws(BackendError) -> UInt64? {
        var implied = ImpliedConversions()
        while true {
            let exit = try enter()
            if let fault = implied.next(exit), processor.convert(fault, askedOf: handler) { continue }
            switch exit {
            case .interrupted: continue
            case .io(let access) where access.isOutput && access.port == CKVM_PORT_DOORBELL: return nil
            case .io(let access) where access.isOutput && access.port == CKVM_PORT_REQUEST:
                mailbox.put(answer(handler))
            case .io(let access) where access.isOutput && access.port == CKVM_PORT_END:
                throw BackendError(.guestFailed, "the guest's program on processor \(index) has ended")
            case .mmio(let access):
                try processor.completeAccess(NoDevices(), answeringRequestsWith: handler)
                return access.address.rawValue
            case .memoryFault(let fault):
                return fault.address.rawValue
            case .hypercall:
                _ = processor.descriptor.run.answer(exit, of: index, by: NoDevices(), requests: handler)
            case .dirtyRingFull: try processor.collectDirtyRing()
            default: throw BackendError(.guestFailed, "processor \(index) stopped: \(exit)")
            }
        }
    }

    /// Answers the request in the mailbox. What it says is the guest's; only a target that exists is passed on.
    private func answer(_ handler: any GuestRequestHandler) -> GuestReply {
        let (address, count, target) = mailbox.request
        guard let target = UInt8(exactly: target).flatMap(Ownership.init(rawValue:)) else { return .refused }
        return handler.handle(
            GuestRequest(processor: index, address: address, byteCount: count, target: target)
        )
    }

    private func restart() throws(BackendError) {
        do throws(KVMError) {
            try processor.descriptor.set(programRegisters)
            try processor.descriptor.set(
                LongMode.start(at: boot.program, mailbox: boot.mailboxAddress(of: index))
            )
        } catch {
            throw BackendError(.guestFailed, "processor \(index) cannot be started again", cause: error)
        }
    }

    private func enter() throws(BackendError) -> ProcessorExit {
        if let end = state.update({ $0.end }) { throw end }
        guard let exit = try processor.enter() else {
            throw state.update { $0.end } ?? BackendError(.guestFailed, "processor \(index) has been stopped")
        }
        return exit
    }
}

/// A machine without a device.
private struct NoDevices: ProcessorExitHandler {}

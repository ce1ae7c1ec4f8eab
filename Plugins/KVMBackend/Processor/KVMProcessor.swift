import CKVM
public import Custody

/// A virtual processor of a ``KVMBackend``: its registers, and its run.
///
/// It runs on whatever thread calls ``run(_:answeringRequestsWith:)``, or on one of its own; registers can be read and
/// written while it does not run, and from within its own exits. The guest program of the back end's agent uses the
/// processor too, but only while it performs an operation, and it starts anew when somebody else has used it in between.
public final class KVMProcessor: Sendable {
    private enum User {
        case nobody
        /// A thread that is being started.
        case newThread
        case thread(pthread_t)
    }

    private struct Use {
        var user = User.nobody
        var isRunning = false
        var isProgramLoaded = false
        /// What the guest program's slot is held for.
        var slot: BootSlot.Use?
        /// Whether what runs is a monitor's run, which can be stopped.
        var isStoppable = false
    }

    private enum Claim {
        case taken
        case nested
        case refused
    }

    /// The processor's number, from 0.
    public let index: Int
    let descriptor: ProcessorDescriptor
    private let gate: QuiesceGate
    private let tracker: DirtyTracker
    private let programSlot: BootSlot
    private let use = Monitor(Use())

    init(
        _ index: Int,
        of machine: borrowing VirtualMachine,
        gate: QuiesceGate,
        tracker: DirtyTracker,
        programSlot: BootSlot
    ) throws(KVMError) {
        descriptor = try machine.makeProcessor(index)
        self.index = index
        self.gate = gate
        self.tracker = tracker
        self.programSlot = programSlot
        try tracker.add(self)
    }

    // MARK: Registers

    /// The general registers.
    ///
    /// - Throws: `BackendError` with code `invalidArgument` while the processor runs on another thread.
    public func registers() throws(BackendError) -> GeneralRegisters {
        try access("read") { () throws(KVMError) in try descriptor.registers() }
    }

    /// Sets the general registers.
    ///
    /// - Throws: as ``registers()``.
    public func setRegisters(_ registers: GeneralRegisters) throws(BackendError) {
        try change { () throws(KVMError) in try descriptor.set(registers) }
    }

    /// The segment, descriptor-table and control registers.
    ///
    /// - Throws: as ``registers()``.
    public func specialRegisters() throws(BackendError) -> SpecialRegisters {
        try access("read") { () throws(KVMError) in try descriptor.specialRegisters() }
    }

    /// Sets the segment, descriptor-table and control registers.
    ///
    /// - Throws: as ``registers()``, or with code `system` for values that KVM does not take.
    public func setSpecialRegisters(_ registers: SpecialRegisters) throws(BackendError) {
        try change { () throws(KVMError) in try descriptor.set(registers) }
    }

    /// The debug registers.
    ///
    /// - Throws: as ``registers()``.
    public func debugRegisters() throws(BackendError) -> DebugRegisters {
        try access("read") { () throws(KVMError) in try descriptor.debugRegisters() }
    }

    /// Sets the debug registers.
    ///
    /// - Throws: as ``registers()``.
    public func setDebugRegisters(_ registers: DebugRegisters) throws(BackendError) {
        try change { () throws(KVMError) in try descriptor.set(registers) }
    }

    /// The floating-point and vector state.
    ///
    /// - Throws: as ``registers()``.
    public func extendedState() throws(BackendError) -> ExtendedState {
        try access("read") { () throws(KVMError) in try descriptor.extendedState() }
    }

    /// Sets the floating-point and vector state.
    ///
    /// - Throws: as ``registers()``.
    public func setExtendedState(_ state: ExtendedState) throws(BackendError) {
        try change { () throws(KVMError) in try descriptor.set(state) }
    }

    /// The values of model-specific registers, in the order asked for.
    ///
    /// - Throws: as ``registers()``; with code `unsupported` and the register's number where KVM has not got one.
    public func modelSpecificRegisters(_ indices: [UInt32]) throws(BackendError) -> [UInt64] {
        let values = try access("read") { () throws(KVMError) in try descriptor.modelSpecificRegisters(indices) }
        guard values.count == indices.count else { throw noSuchMSR(indices[values.count]) }
        return values
    }

    /// Sets model-specific registers, in their order.
    ///
    /// - Throws: as ``modelSpecificRegisters(_:)``; those before the one that KVM refuses are set then.
    public func setModelSpecificRegisters(_ registers: [(index: UInt32, value: UInt64)]) throws(BackendError) {
        let count = try change { () throws(KVMError) in try descriptor.set(registers) }
        guard count == registers.count else { throw noSuchMSR(registers[count].index) }
    }

    /// What CPUID answers on this processor.
    ///
    /// - Throws: as ``registers()``.
    public func identification() throws(BackendError) -> ProcessorIdentification {
        try access("read") { () throws(KVMError) in try descriptor.identification() }
    }

    /// Sets what CPUID answers. To be done before the processor's first run.
    ///
    /// - Throws: as ``setSpecialRegisters(_:)``.
    public func setIdentification(_ identification: ProcessorIdentification) throws(BackendError) {
        try change { () throws(KVMError) in try descriptor.set(identification) }
    }

    // MARK: Running

    /// Runs the guest on the calling thread until an exit ends the run, or ``stop()`` does.
    ///
    /// - Parameters:
    ///   - handler: The monitor's devices, and its word on whether to go on.
    ///   - requests: Answers the guest's requests for conversions, usually the controller.
    /// - Returns: the exit that ended the run; ``ProcessorExit/interrupted`` where ``stop()`` did.
    /// - Throws: `BackendError` with code `invalidArgument` where the processor is running already or the guest program of the
    ///   back end's agent is at work on another one, `guestFailed` where
    ///   it cannot run or the back end has been shut down.
    public func run(
        _ handler: any ProcessorExitHandler,
        answeringRequestsWith requests: any GuestRequestHandler
    ) throws(BackendError) -> ProcessorExit {
        try take(for: .run)
        return try runTaken(handler, answeringRequestsWith: requests)
    }

    private func runTaken(
        _ handler: any ProcessorExitHandler,
        answeringRequestsWith requests: any GuestRequestHandler
    ) throws(BackendError) -> ProcessorExit {
        defer { release() }
        return try ThreadDeath.watch { () throws(BackendError) in
            try runToEnd(handler, answeringRequestsWith: requests)
        } onDeath: { [self] in
            giveUp()
        }
    }

    /// Runs to the exit that ends the run, and on to where nothing that was asked for in it is left unanswered.
    private func runToEnd(
        _ handler: any ProcessorExitHandler,
        answeringRequestsWith requests: any GuestRequestHandler
    ) throws(BackendError) -> ProcessorExit {
        var implied = ImpliedConversions()
        while true {
            guard let exit = try enter() else {
                return try end(with: .interrupted, handler, answeringRequestsWith: requests)
            }
            if exit == .dirtyRingFull {
                try collectDirtyRing()
                continue
            }
            if let fault = implied.next(exit), convert(fault, askedOf: requests) { continue }
            if descriptor.run.answer(exit, of: index, by: handler, requests: requests) == .stop {
                return try end(with: exit, handler, answeringRequestsWith: requests)
            }
        }
    }

    /// Finishes the access before: registers are to be as after it.
    ///
    /// - Returns: how the run ends: with `exit`, unless the end of the access is another exit that is to end it.
    private func end(
        with exit: ProcessorExit,
        _ handler: any ProcessorExitHandler,
        answeringRequestsWith requests: any GuestRequestHandler
    ) throws(BackendError) -> ProcessorExit {
        let last = try completeAccess(handler, answeringRequestsWith: requests)
        switch last {
        // A guest that runs again finds its fault, or its full ring, again.
        case .interrupted, .memoryFault, .dirtyRingFull: return exit
        default: return handler.decide(on: last) == .stop ? last : exit
        }
    }

    /// Runs the guest on a new thread. ``stop()`` counts from the return of this call on.
    ///
    /// `end` is told how the run ended, on that thread.
    ///
    /// - Throws: `BackendError` with code `invalidArgument` where the processor is running already, `resourcesExhausted`
    ///   where there is no thread.
    public func start(
        _ handler: any ProcessorExitHandler,
        answeringRequestsWith requests: any GuestRequestHandler,
        whenDone end: @escaping @Sendable (Result<ProcessorExit, BackendError>) -> Void
    ) throws(BackendError) {
        try take(for: .start)
        do throws(BackendError) {
            try Thread.start { [self] in
                use.update { $0.user = .thread(pthread_self()) }
                let result = ThreadDeath.watch { () -> Result<ProcessorExit, BackendError> in
                    do throws(BackendError) {
                        return .success(try runTaken(handler, answeringRequestsWith: requests))
                    } catch { return .failure(error) }
                } onDeath: { [self] in
                    end(.failure(hasDied()))
                }
                end(result)
            }
        } catch {
            release()
            throw error
        }
    }

    /// Has the run under way end, also from within one of its exits. Does not wait; without a run it does nothing.
    ///
    /// An access of the guest's that is under way is finished first: the handler is asked for all of it. KVM emulates a string
    /// instruction in pieces of 1,024, and one piece is what that can take.
    public func stop() {
        use.update { use in if use.isStoppable { gate.stop(index) } }
    }

    // MARK: For the guest program

    /// Takes the processor for one piece of the guest program's work.
    ///
    /// - Returns: whether the program is still loaded as it was left.
    /// - Throws: `BackendError` with code `invalidArgument` where the processor, or a guest of a monitor's own, is running,
    ///   or what ``BootSlot/begin(_:)`` throws.
    func beginProgram() throws(BackendError) -> Bool {
        try take(for: .program)
        return use.update { $0.isProgramLoaded }
    }

    /// Gives the processor back.
    ///
    /// - Parameter isLoaded: whether the program can go on from where it is.
    func endProgram(isLoaded: Bool) {
        use.update { $0.isProgramLoaded = isLoaded }
        release()
    }

    /// Enters the guest once, on the calling thread.
    ///
    /// - Parameter completingOnly: Only finish the access before.
    /// - Returns: the exit, or `nil` where the processor has been stopped.
    func enter(completingOnly: Bool = false) throws(BackendError) -> ProcessorExit? {
        switch gate.enter(index, runAddress: descriptor.runAddress, completingOnly: completingOnly) {
        case .shut: throw BackendError(.guestFailed, "the guest has been shut down")
        case .stopped: return nil
        case .inside: break
        }
        defer { gate.leave(index) }
        do throws(KVMError) { return try descriptor.enter() } catch {
            throw BackendError(.guestFailed, "processor \(index) cannot run", cause: error)
        }
    }

    /// Lets KVM finish an access that was answered, without running the guest on.
    ///
    /// One access can need several rounds: a part for each page it touches, and for each element of a string instruction that
    /// KVM emulates at once. Each part is asked for as any access is.
    ///
    /// - Returns: the exit after the last part: ``ProcessorExit/interrupted`` where there is nothing more to it.
    @discardableResult
    func completeAccess(
        _ handler: any ProcessorExitHandler,
        answeringRequestsWith requests: any GuestRequestHandler
    ) throws(BackendError) -> ProcessorExit {
        for _ in 0..<KVMProcessor.completionLimit {
            guard let exit = try enter(completingOnly: true) else { return .interrupted }
            guard exit.isAccess else { return exit }
            _ = descriptor.run.answer(exit, of: index, by: handler, requests: requests)
        }
        throw BackendError(.guestFailed, "an access of processor \(index) does not come to its end")
    }

    /// More parts than KVM makes of an access: it emulates at most 1,024 elements of a string instruction at once, each of
    /// which reads and writes at most two pages.
    private static let completionLimit = 1 << 14

    /// Asks for what an access of the guest's implies: that a page becomes what the guest took it for. Waits, up to two
    /// seconds, for whoever still holds it; a stop is not waited for.
    ///
    /// - Returns: whether the guest may try its access again.
    func convert(_ fault: ProcessorExit.MemoryFault, askedOf requests: any GuestRequestHandler) -> Bool {
        let request = fault.request(from: index)
        var delay = Duration.microseconds(50)
        while delay < .seconds(2) {
            switch requests.handle(request) {
            case .done: return true
            case .refused: return false
            case .retry:
                // One that is to stop finds its fault again when it runs again.
                if gate.waitForStop(of: index, for: delay) { return true }
                delay *= 2
            }
        }
        return false
    }

    /// Takes what is in the full ring of dirty pages.
    func collectDirtyRing() throws(BackendError) {
        do throws(KVMError) { try tracker.collectRings() } catch {
            throw BackendError(.guestFailed, "the ring of dirty pages cannot be collected", cause: error)
        }
    }

    // MARK: Taking turns

    private func access<Result>(
        _ what: StaticString,
        _ body: () throws(KVMError) -> Result
    ) throws(BackendError) -> Result {
        let claim = claim(.registers)
        guard claim != .refused else { throw isRunning() }
        defer { if claim == .taken { release() } }
        do throws(KVMError) { return try body() } catch {
            throw BackendError(.system, "registers of processor \(index) cannot be \(what)", cause: error)
        }
    }

    private func change<Result>(_ body: () throws(KVMError) -> Result) throws(BackendError) -> Result {
        try access("set") { () throws(KVMError) in
            use.update { $0.isProgramLoaded = false }
            return try body()
        }
    }

    /// What the processor is taken for.
    private enum Purpose {
        case registers
        case program
        case run
        case start
    }

    /// Takes the processor. Somebody who only looks at registers is waited for; a run is not.
    private func claim(_ purpose: Purpose) -> Claim {
        let own = pthread_self()
        return use.wait { use in
            switch use.user {
            case .nobody: break
            case .newThread: return .refused
            case .thread(let user):
                if pthread_equal(user, own) != 0 { return purpose == .registers ? .nested : .refused }
                return use.isRunning ? .refused : nil
            }
            use.user = purpose == .start ? .newThread : .thread(own)
            use.isRunning = purpose != .registers
            if purpose == .run || purpose == .start {
                use.isProgramLoaded = false
                // A stop of before is forgotten, and one of from now on counts.
                gate.forgetStop(of: index)
                use.isStoppable = true
            }
            return .taken
        } ?? .refused
    }

    /// Takes the processor for a run, and sees to the guest program's slot.
    private func take(for purpose: Purpose) throws(BackendError) {
        guard case .taken = claim(purpose) else { throw isRunning() }
        let slot: BootSlot.Use = purpose == .program ? .program : .monitor
        do throws(BackendError) { try programSlot.begin(slot) } catch {
            release()
            throw error
        }
        use.update { $0.slot = slot }
    }

    private func release() {
        let slot = use.update { use in
            let slot = use.slot
            use.slot = nil
            use.user = .nobody
            use.isRunning = false
            if use.isStoppable { gate.forgetStop(of: index) }
            use.isStoppable = false
            return slot
        }
        if let slot { programSlot.end(slot) }
    }

    /// Lets go of the processor for a thread that has died with it.
    func giveUp() {
        gate.leave(index)
        gate.forgetStop(of: index)
        let slot = use.update { use in
            let slot = use.slot
            use = Use()
            return slot
        }
        if let slot { programSlot.end(slot) }
    }

    /// What the thread's end in the midst of a run is.
    func hasDied() -> BackendError {
        BackendError(.guestFailed, "the thread of processor \(index) has ended within a handler of its exits")
    }

    private func isRunning() -> BackendError {
        BackendError(.invalidArgument, "processor \(index) is running")
    }

    private func noSuchMSR(_ register: UInt32) -> BackendError {
        BackendError(.unsupported, "KVM has no model-specific register 0x\(String(register, radix: 16)) here")
    }
}

import CKVM
public import Custody

/// A virtual processor of a ``KVMBackend``: its registers, and its run.
///
/// It runs on whatever thread calls ``run(_:answeringRequestsWith:)``, or on one of its own; registers can be read and
/// written while it does not run, and from within its own exits. The guest program of the back end's agent uses the
/// processor too, but only while it performs an operation, and it starts anew when somebody else has used it in between.
public final class KVMProcessor: Sendable {
    private struct Use {
        var user: pthread_t?
        var isRunning = false
        var isProgramLoaded = false
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
    private let use = Monitor(Use())

    init(
        _ index: Int,
        of machine: borrowing VirtualMachine,
        gate: QuiesceGate,
        tracker: DirtyTracker
    ) throws(KVMError) {
        descriptor = try machine.makeProcessor(index)
        self.index = index
        self.gate = gate
        self.tracker = tracker
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
    /// - Throws: `BackendError` with code `invalidArgument` where the processor is running already, `guestFailed` where
    ///   it cannot run or the back end has been shut down.
    public func run(
        _ handler: any ProcessorExitHandler,
        answeringRequestsWith requests: any GuestRequestHandler
    ) throws(BackendError) -> ProcessorExit {
        guard case .taken = claim(forRun: true) else { throw isRunning() }
        defer { release() }
        return try ThreadDeath.watch { () throws(BackendError) in
            try runTaken(handler, answeringRequestsWith: requests)
        } onDeath: { [self] in
            giveUp()
        }
    }

    private func runTaken(
        _ handler: any ProcessorExitHandler,
        answeringRequestsWith requests: any GuestRequestHandler
    ) throws(BackendError) -> ProcessorExit {
        use.update { $0.isProgramLoaded = false }
        guard ckvm_kick_admit() == 0 else { throw cannotBeKicked() }
        gate.forgetStop(of: index)
        use.update { $0.isStoppable = true }
        defer {
            use.update { $0.isStoppable = false }
            gate.forgetStop(of: index)
        }
        while true {
            guard let exit = try enter() else {
                // The access before may have been answered and not finished: registers are to be as after it.
                try completeAccess()
                return .interrupted
            }
            if exit == .dirtyRingFull {
                try collectDirtyRing()
            } else if descriptor.run.answer(exit, of: index, by: handler, requests: requests) == .stop {
                try completeAccess()
                return exit
            }
        }
    }

    /// Runs the guest on a new thread.
    ///
    /// `end` is told how the run ended, on that thread.
    ///
    /// - Throws: `BackendError` with code `resourcesExhausted` where there is no thread.
    public func start(
        _ handler: any ProcessorExitHandler,
        answeringRequestsWith requests: any GuestRequestHandler,
        whenDone end: @escaping @Sendable (Result<ProcessorExit, BackendError>) -> Void
    ) throws(BackendError) {
        try Thread.start { [self] in
            let result = ThreadDeath.watch { () -> Result<ProcessorExit, BackendError> in
                do throws(BackendError) {
                    return .success(try run(handler, answeringRequestsWith: requests))
                } catch { return .failure(error) }
            } onDeath: { [self] in
                end(.failure(hasDied()))
            }
            end(result)
        }
    }

    /// Has the run under way end, also from within one of its exits. Does not wait; without a run it does nothing.
    public func stop() {
        use.update { use in if use.isStoppable { gate.stop(index) } }
    }

    // MARK: For the guest program

    /// Takes the processor for one piece of the guest program's work.
    ///
    /// - Returns: whether the program is still loaded as it was left.
    /// - Throws: `BackendError` with code `invalidArgument` where the processor is running for somebody else.
    func beginProgram() throws(BackendError) -> Bool {
        guard case .taken = claim(forRun: true) else { throw isRunning() }
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
    /// One access can need several rounds, a part for each page it touches; what is left of it is answered as it was left.
    func completeAccess() throws(BackendError) {
        for _ in 0..<16 {
            switch try enter(completingOnly: true) {
            case .mmio, .io: continue
            default: return
            }
        }
        throw BackendError(.guestFailed, "an access of processor \(index) does not come to its end")
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
        let claim = claim(forRun: false)
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

    /// Takes the processor. Somebody who only looks at registers is waited for; a run is not.
    private func claim(forRun: Bool) -> Claim {
        let own = pthread_self()
        return use.wait { use in
            if let user = use.user {
                if pthread_equal(user, own) != 0 { return forRun ? .refused : .nested }
                return use.isRunning ? .refused : nil
            }
            use.user = own
            use.isRunning = forRun
            return .taken
        } ?? .refused
    }

    private func release() {
        use.update { use in
            use.user = nil
            use.isRunning = false
        }
    }

    /// Lets go of the processor for a thread that has died with it.
    func giveUp() {
        gate.leave(index)
        gate.forgetStop(of: index)
        use.update { $0 = Use() }
    }

    /// What the thread's end in the midst of a run is.
    func hasDied() -> BackendError {
        BackendError(.guestFailed, "the thread of processor \(index) has ended within a handler of its exits")
    }

    private func isRunning() -> BackendError {
        BackendError(.invalidArgument, "processor \(index) is running")
    }

    private func cannotBeKicked() -> BackendError {
        BackendError(.system, "processor \(index) cannot take the signal that takes it out of the guest")
    }

    private func noSuchMSR(_ register: UInt32) -> BackendError {
        BackendError(.unsupported, "KVM has no model-specific register 0x\(String(register, radix: 16)) here")
    }
}

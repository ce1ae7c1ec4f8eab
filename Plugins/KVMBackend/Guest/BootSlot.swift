import Custody

/// The memory slot of the guest program: it is there while the program has a processor, and not while a monitor runs a guest of
/// its own.
///
/// That guest would find memory beyond its layout otherwise, could write to it, and would miss a device that its monitor has
/// at the place. So program and monitors exclude each other; each is told, and nobody waits.
final class BootSlot: Sendable {
    /// What a processor is taken for.
    enum Use: Sendable, Hashable {
        case program
        case monitor
    }

    private struct State {
        var isBound = false
        var isFilled = false
        var isKept = false
        /// Memory beside RAM that is at the place: the program cannot be run any more.
        var other: PageRange?
        var uses: [Use: Int] = [:]
    }

    /// The slot's memory.
    let memory: BootMemory
    /// The slot's number.
    private let number: UInt32
    /// The virtual machine's descriptor. Whoever calls this type keeps the machine.
    private let machine: Int32
    private let kernel: any Kernel
    private let state = Locked(State())

    /// A slot that is not there yet.
    init(_ number: UInt32, _ memory: BootMemory, of machine: borrowing VirtualMachine) {
        self.number = number
        self.memory = memory
        self.machine = machine.descriptor.rawValue
        kernel = machine.descriptor.kernel
    }

    /// Begins a use, which ends with ``end(_:)``.
    ///
    /// - Throws: `BackendError` with code `invalidArgument` while there is the other use, with `unsupported` where memory
    ///   beside RAM has the program's place, with `system` where KVM does not change the slot.
    func begin(_ use: Use) throws(BackendError) {
        try state.withLock { state throws(BackendError) in
            if !state.isKept { try BootSlot.checkAlone(use, state) }
            switch use {
            case .program: try bind(&state)
            case .monitor: if !state.isKept { try unbind(&state) }
            }
            state.uses[use, default: 0] += 1
        }
    }

    /// Ends a use.
    func end(_ use: Use) { state.withLock { $0.uses[use, default: 1] -= 1 } }

    /// Leaves the place to memory beside RAM, where that is to be there.
    ///
    /// - Throws: `BackendError` with code `invalidArgument` while the program is at work.
    func leave(to range: PageRange) throws(BackendError) {
        guard memory.range.overlaps(range) else { return }
        try state.withLock { state throws(BackendError) in
            guard state.uses[.program, default: 0] == 0, !state.isKept else {
                throw BackendError(.invalidArgument, "the guest program is at work there", range: range)
            }
            try unbind(&state)
            state.other = range
        }
    }

    /// Takes the place back from memory beside RAM that has not come.
    func retake(from range: PageRange) { state.withLock { if $0.other == range { $0.other = nil } } }

    /// Has the slot be there from now on, for a test that runs the program by itself.
    func keep() throws(BackendError) {
        try state.withLock { state throws(BackendError) in
            try bind(&state)
            state.isKept = true
        }
    }

    private static func checkAlone(_ use: Use, _ state: State) throws(BackendError) {
        switch use {
        case .program:
            guard state.uses[.monitor, default: 0] > 0 else { return }
            throw BackendError(
                .invalidArgument,
                "a monitor is running a guest of its own: the guest program has to wait"
            )
        case .monitor:
            guard state.uses[.program, default: 0] > 0 else { return }
            throw BackendError(.invalidArgument, "the guest program is at work: a guest of its own has to wait")
        }
    }

    private func bind(_ state: inout State) throws(BackendError) {
        if let other = state.other {
            throw BackendError(.unsupported, "there is memory where the guest program would be", range: other)
        }
        guard !state.isBound else { return }
        if !state.isFilled { memory.fill() }
        state.isFilled = true
        try set(size: memory.placement.size)
        state.isBound = true
    }

    private func unbind(_ state: inout State) throws(BackendError) {
        guard state.isBound else { return }
        try set(size: 0)
        state.isBound = false
    }

    private func set(size: UInt64) throws(BackendError) {
        do throws(KVMError) {
            try kernel.setSlot(
                number,
                guestAddress: memory.placement.address,
                size: size,
                hostAddress: memory.map.address,
                flags: 0,
                of: machine
            )
        } catch {
            throw BackendError(.system, "the guest program's memory slot cannot be changed", cause: error)
        }
    }
}

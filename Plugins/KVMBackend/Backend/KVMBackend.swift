import CKVM
public import Custody
import SystemPackage

/// A back end that changes ownership of a real guest's memory through KVM.
///
/// How is the mode's affair:
///
/// - ``KVMMode/dual``: private pages live in a guest_memfd that the host can map but not fault, so the kernel stops it
///   (SIGBUS). A conversion binds memory slots to the other file, while no processor is in the guest; the pages of the
///   file before are dropped when it is finished, so the receiver reads zeroes.
/// - ``KVMMode/revoked``: one memory file; this process's window on a private page is closed with `mprotect(2)`, so this
///   process stops itself (SIGSEGV), and the contents stay.
/// - ``KVMMode/attributes``: shared memory of this process beside a guest_memfd that nobody can map; the virtual machine's
///   attribute of a page says which of them the guest finds. The pages of the other one are dropped when a conversion is
///   finished, and looked after: memory is never there twice.
/// - ``KVMMode/inPlace``: one guest_memfd with an attribute of its own for each page. A page that somebody else holds a
///   reference to is a pending hand-over, which completes by itself when the reference goes.
///
/// A page owned by the host has no memory slot. All host access goes through a copy that survives the signal.
public final class KVMBackend: PageMover {
    /// What it can do.
    public let capabilities: Capabilities
    /// Where the guest has RAM.
    public let layout: GuestMemoryLayout
    /// Every page starts shared.
    public let initialOwnership: PageRunMap<Ownership>
    /// A thread of its own.
    public let executor: any CompletionExecutor
    /// The guest program on the virtual processors; `nil` where the machine is adopted.
    public let guestAgent: (any GuestAgent)?

    let mode: KVMMode
    let machine: MachineMemory
    let windows: (shared: UInt, private: UInt)
    /// The guest-physical byte address that files and windows begin at.
    let base: UInt64
    let gate: any Quiescence
    /// The machine half; `nil` where the machine is adopted.
    let own: OwnMachine?
    /// What is lent; `nil` where the machine is this back end's own.
    let adopted: AdoptedMachine?
    var processors: [VirtualProcessor] { own?.processors ?? [] }
    /// What the guest has written.
    let tracker: DirtyTracker
    /// The changes under way. One that waits for a reference that only the kernel sees is tried again: after a millisecond, and
    /// ever more seldom, but at least ten times a second.
    public let engine = ChangeEngine<ChangePlan>()
    let ledger: Locked<SlotLedger>
    /// Whether `KVM_PRE_FAULT_MEMORY` is there.
    let canPreFault: Bool
    /// Whether a slot can be read-only.
    let hasReadOnlySlots: Bool

    /// Makes a virtual machine with all its RAM shared, and its processors.
    ///
    /// - Parameters:
    ///   - guest: The guest.
    ///   - mode: How ownership is made true.
    ///   - dirtyLog: How the guest's writes are to be told; `nil` for what the mode can do.
    ///   - sharedMemory: What memory shared pages are to have; `nil` for what the mode takes by itself.
    ///   - kickSignal: The real-time signal that takes processors out of the guest; `nil` for one that nobody handles.
    /// - Throws: `BackendError` with code `unavailable` where this machine or this user cannot do it, with `unsupported`
    ///   for a dirty log or a memory that the mode cannot have, with `invalidArgument` or `resourcesExhausted` for a signal
    ///   that is no real-time signal or has a handler.
    public convenience init(
        _ guest: GuestConfiguration,
        mode: KVMMode,
        dirtyLog: DirtyLogChoice? = nil,
        sharedMemory: SharedMemoryKind? = nil,
        kickSignal: Int32? = nil
    ) throws(BackendError) {
        try self.init(
            guest,
            mode: mode,
            dirtyLog: dirtyLog,
            sharedMemory: sharedMemory,
            kickSignal: kickSignal,
            kernel: LinuxKernel(),
            slotLimit: nil
        )
    }

    /// Makes a virtual machine through a given kernel; `slotLimit` lowers the number of slots.
    package convenience init(
        _ guest: GuestConfiguration,
        mode: KVMMode,
        dirtyLog: DirtyLogChoice? = nil,
        sharedMemory: SharedMemoryKind? = nil,
        kickSignal: Int32? = nil,
        kernel: any Kernel,
        slotLimit: Int?
    ) throws(BackendError) {
        try KVMBackend.checkProcessor()
        let device: KVMDevice
        do throws(KVMError) { device = try KVMDevice(kernel: kernel) } catch { throw KVMBackend.unavailable(error) }
        let features: KVMFeatures
        do throws(KVMError) { features = try KVMFeatures(of: device) } catch { throw KVMBackend.unavailable(error) }
        let obstacle: String?
        do throws(KVMError) { obstacle = try features.obstacle(to: mode, on: device) } catch {
            throw KVMBackend.unavailable(error)
        }
        if let obstacle {
            throw BackendError(.unavailable, "the mode ‘\(mode.rawValue)’ cannot be used here: \(obstacle)")
        }
        let capabilities = Capabilities(
            mode,
            features,
            granularity: guest.layout.granularity,
            dirtyLog: dirtyLog
        )
        try mode.check(sharedMemory)
        let dirtyLogMethod = try (dirtyLog ?? .default(mode)).method(in: mode, features)
        let bounds = guest.layout.bounds
        guard (1...capabilities.maximumProcessors).contains(guest.processors) else {
            throw BackendError(
                .invalidArgument,
                "\(guest.processors) processors: this machine's KVM runs 1 to \(capabilities.maximumProcessors)"
            )
        }
        for region in guest.layout.regions {
            let last = region.last.address.rawValue + (PageSize.base.bytes - 1)
            guard
                !VirtualMachine.reservedBelow4GiB.overlaps(region.address.rawValue...last)
            else {
                throw BackendError(
                    .unsupported,
                    "KVM needs 0xfffbc000-0xfffbffff for itself: there has to be a hole in RAM",
                    range: region
                )
            }
        }
        let placement = try BootMemory.placement(beside: guest.layout, processors: guest.processors)
        guard ckvm_guarded_install() == 0 else { throw KVMBackend.handlersTaken }
        let gate = QuiesceGate(try KickSignal(kickSignal))

        let slotCount = min(features[.memorySlots] - AdoptedMachine.spareSlots, slotLimit ?? .max) - 1
        guard guest.layout.regions.count <= slotCount else { throw KVMBackend.tooManyRegions(guest.layout, slotCount) }
        var slots = SlotMap(bounds: bounds, firstNumber: OwnMachine.programSlotNumber + 1)
        let memory: MachineMemory
        do throws(KVMError) {
            let machine = try device.makeVirtualMachine(mode.virtualMachine)
            if features[.setTSSAddress] != 0 { try machine.setTaskStateSegment() }
            memory = try MachineMemory(machine, mode, guest.layout, sharedMemory ?? .memfd)
        } catch { throw BackendError(.system, "the virtual machine cannot be made", cause: error) }
        let tracker: DirtyTracker
        do throws(KVMError) {
            try memory.bind(guest.layout, &slots)
            tracker = try DirtyTracker(dirtyLogMethod, machine: memory.virtualMachine, bounds: bounds)
        } catch { throw BackendError(.system, "the virtual machine cannot be made", cause: error) }
        let executor = try ThreadExecutor()
        let own = try OwnMachine(of: memory.virtualMachine, placement, processors: guest.processors, gate, tracker)
        self.init(
            mode,
            capabilities,
            guest.layout,
            memory,
            Parts(gate: gate, own: own, adopted: nil, tracker: tracker, executor: executor, features: features),
            SlotLedger(slots: slots, limit: slotCount)
        )
    }

    /// What a back end is put together of, beside memory.
    struct Parts {
        let gate: any Quiescence
        let own: OwnMachine?
        let adopted: AdoptedMachine?
        let tracker: DirtyTracker
        let executor: ThreadExecutor
        let features: KVMFeatures
    }

    init(
        _ mode: KVMMode,
        _ capabilities: Capabilities,
        _ layout: GuestMemoryLayout,
        _ memory: consuming MachineMemory,
        _ parts: Parts,
        _ slots: SlotLedger
    ) {
        self.mode = mode
        self.capabilities = capabilities
        self.layout = layout
        base = layout.memoryStart
        initialOwnership = PageRunMap(bounds: layout.bounds, state: .shared)
        windows = memory.ram.windows
        machine = memory
        gate = parts.gate
        own = parts.own
        adopted = parts.adopted
        executor = parts.executor
        tracker = parts.tracker
        canPreFault = parts.features[.preFaultMemory] != 0
        hasReadOnlySlots = parts.features[.readOnlyMemory] != 0
        guestAgent = parts.own.map { KVMGuestAgent(processors: $0.processors) }
        ledger = Locked(slots)
    }

    deinit { shutDown() }

    /// Takes all processors out of the guest and ends their threads; further changes are refused.
    ///
    /// It returns when no processor is in the guest, and not before: where one does not come out in five seconds the observer
    /// is told that the guest is lost, and the wait goes on. An adopted machine goes on; the guest does not find the memory
    /// any more.
    public func shutDown() {
        let message = "the guest has been shut down"
        refuseCalls(with: BackendError(.lost, message))
        if adopted != nil { takeMemoryOut() }
        own?.end(because: BackendError(.guestFailed, message)) { late in
            if let observer = engine.observer { executor.submit { observer.backendLost(late) } }
        }
    }

    /// A virtual processor, for a monitor that runs a guest of its own on it; `nil` for one that there is not, as there is none
    /// where the machine is adopted.
    public func processor(_ index: Int) -> KVMProcessor? {
        processors.indices.contains(index) ? processors[index].processor : nil
    }

    /// Has one processor perform a command of the guest program.
    package func execute(
        _ command: GuestCommand,
        on processor: Int,
        answeringTo handler: any GuestRequestHandler
    ) throws(BackendError) -> GuestCommandResult {
        guard processors.indices.contains(processor) else {
            throw BackendError(.invalidArgument, "there is no processor \(processor)")
        }
        let processor = processors[processor]
        return try processor.withTurn { () throws(BackendError) in
            try processor.perform(command, answeringTo: handler)
        }
    }

    /// The runs of pages with a slot each, and those without one, for tests.
    package var slotRuns: [(range: PageRange, backing: Backing)] {
        ledger.withLock { $0.slots.backings.runs.map { ($0.range, $0.state) } }
    }
}

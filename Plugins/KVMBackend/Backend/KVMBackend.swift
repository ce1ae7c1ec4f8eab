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
    /// The guest program on the virtual processors.
    public let guestAgent: (any GuestAgent)?

    let mode: KVMMode
    let machine: GuestMachine
    let windows: (shared: UInt, private: UInt)
    /// The guest-physical byte address that files and windows begin at.
    let base: UInt64
    let gate: QuiesceGate
    let processors: [VirtualProcessor]
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

    /// Slots that only an undo may use.
    private static let spareSlots = 16

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
    package init(
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
        if let sharedMemory, !mode.sharedMemoryKinds.contains(sharedMemory) {
            throw BackendError(
                .unsupported,
                "shared pages of the mode ‘\(mode.rawValue)’ cannot be in memory of the kind ‘\(sharedMemory.rawValue)’"
            )
        }
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
                throw BackendError(.unsupported, "KVM needs 0xfffbc000-0xfffbffff for itself", range: region)
            }
        }
        let placement = try BootMemory.placement(beside: guest.layout, processors: guest.processors)
        guard ckvm_guarded_install() == 0 else { throw KVMBackend.handlersTaken }
        let kickSignal = try KickSignal(kickSignal)

        let slotCount = min(features[.memorySlots] - KVMBackend.spareSlots, slotLimit ?? .max) - 1
        guard guest.layout.regions.count <= slotCount else {
            throw BackendError(
                .resourcesExhausted,
                "\(guest.layout.regions.count) regions of RAM need more than the \(slotCount) memory slots there are"
            )
        }
        var slots = SlotMap(bounds: bounds, firstNumber: GuestMachine.bootSlot + 1)
        let machine: GuestMachine
        do throws(KVMError) {
            machine = try GuestMachine.make(
                device,
                features: features,
                mode: mode,
                layout: guest.layout,
                sharedMemory: sharedMemory ?? .memfd,
                boot: placement,
                slots: &slots,
                kernel: kernel
            )
        } catch { throw BackendError(.system, "the virtual machine cannot be made", cause: error) }
        let tracker: DirtyTracker
        do throws(KVMError) {
            tracker = try DirtyTracker(dirtyLogMethod, machine: machine.virtualMachine, bounds: bounds)
        } catch { throw BackendError(.system, "the virtual machine cannot be made", cause: error) }
        let gate = QuiesceGate(kickSignal)
        let executor = try ThreadExecutor()
        var processors: [VirtualProcessor] = []
        do throws(BackendError) {
            for index in 0..<guest.processors {
                processors.append(
                    try VirtualProcessor(
                        index,
                        of: machine.virtualMachine,
                        programSlot: machine.programSlot,
                        gate: gate,
                        tracker: tracker
                    )
                )
            }
        } catch {
            for processor in processors { processor.end(because: error) }
            for processor in processors { processor.waitForEnd() }
            throw error
        }

        self.mode = mode
        self.capabilities = capabilities
        layout = guest.layout
        base = guest.layout.memoryStart
        initialOwnership = PageRunMap(bounds: bounds, state: .shared)
        windows = machine.ram.windows
        self.machine = machine
        self.gate = gate
        self.executor = executor
        self.processors = processors
        self.tracker = tracker
        canPreFault = features[.preFaultMemory] != 0
        hasReadOnlySlots = features[.readOnlyMemory] != 0
        guestAgent = KVMGuestAgent(processors: processors)
        ledger = Locked(SlotLedger(slots: slots, limit: slotCount))
    }

    deinit { shutDown() }

    /// Takes all processors out of the guest and ends their threads; further changes are refused.
    ///
    /// It returns when no processor is in the guest, and not before: where one does not come out in five seconds the observer
    /// is told that the guest is lost, and the wait goes on.
    public func shutDown() {
        let message = "the guest has been shut down"
        refuseCalls(with: BackendError(.lost, message))
        let error = BackendError(.guestFailed, message)
        for processor in processors { processor.end(because: error) }
        gate.shut { late in
            if let observer = engine.observer { executor.submit { observer.backendLost(late) } }
        }
        for processor in processors { processor.waitForEnd() }
    }

    /// A virtual processor, for a monitor that runs a guest of its own on it; `nil` for one that there is not.
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

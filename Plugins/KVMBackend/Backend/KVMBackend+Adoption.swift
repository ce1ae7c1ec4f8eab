import CKVM
public import Custody
import SystemPackage

// Memory in a virtual machine that a monitor has made.
extension KVMBackend {
    /// Puts RAM, all shared, into a virtual machine that is there, and looks after its ownership from now on.
    ///
    /// The machine may run. Its processors are out of the guest while the monitor's own slots make room
    /// (``MachineMonitor/memoryArrives(_:)``) and these come. Several back ends may have memory in one machine, with slot numbers of
    /// their own: a monitor hands bank by bank over, and has each back by itself (``handBack()``).
    ///
    /// Looked at is what can be: that the descriptor is a virtual machine's, what KVM can do for *that* machine, and that neither
    /// another slot nor a slot's number is in the way. What the monitor does with its own slots later is not seen.
    ///
    /// - Parameters:
    ///   - machine: The machine, and what it lends.
    ///   - layout: The RAM: what is the monitor's own is not part of it.
    ///   - mode: How ownership is made true. The modes `attributes` and `in-place` need a machine whose type has private memory.
    ///   - sharedMemory: What memory shared pages are to have; `nil` for what the mode takes by itself.
    /// - Throws: `BackendError` with code `invalidArgument` for what is no virtual machine, for slots that are too few or more than
    ///   the machine has, and where memory or a slot's number is in the way, with `unavailable` for a mode that the machine
    ///   cannot have, with `guestFailed` where the monitor does not pause its processors. The machine has no memory of the back
    ///   end's then.
    public convenience init(
        adopting machine: AdoptedMachine,
        layout: GuestMemoryLayout,
        mode: KVMMode,
        sharedMemory: SharedMemoryKind? = nil
    ) throws(BackendError) {
        try self.init(
            adopting: machine,
            layout: layout,
            mode: mode,
            sharedMemory: sharedMemory,
            kernel: LinuxKernel()
        )
    }

    package convenience init(
        adopting adopted: AdoptedMachine,
        layout: GuestMemoryLayout,
        mode: KVMMode,
        sharedMemory: SharedMemoryKind? = nil,
        kernel: any Kernel
    ) throws(BackendError) {
        let machine = try VirtualMachine.adopted(adopted.descriptor, kernel: kernel)
        let features: KVMFeatures
        let obstacle: String?
        do throws(KVMError) {
            features = try KVMFeatures(of: machine)
            obstacle = try features.obstacle(to: mode, in: machine)
        } catch { throw KVMBackend.unavailable(error) }
        if let obstacle {
            throw BackendError(.unavailable, "the mode ‘\(mode.rawValue)’ cannot be used in this machine: \(obstacle)")
        }
        try mode.check(sharedMemory)
        guard features[.memorySlots] > adopted.slots.upperBound else {
            throw BackendError(
                .invalidArgument,
                "the slots \(adopted.slots) are lent, and the machine has \(features[.memorySlots])"
            )
        }
        let slotCount = adopted.slots.count - AdoptedMachine.spareSlots
        guard layout.regions.count <= slotCount else { throw KVMBackend.tooManyRegions(layout, slotCount) }
        guard ckvm_guarded_install() == 0 else { throw KVMBackend.handlersTaken }

        let memory: MachineMemory
        do throws(KVMError) { memory = try MachineMemory(machine, mode, layout, sharedMemory ?? .memfd) } catch {
            throw BackendError(.system, "the memory cannot be made", cause: error)
        }
        let tracker: DirtyTracker
        do throws(KVMError) {
            tracker = try DirtyTracker(.none, machine: memory.virtualMachine, bounds: layout.bounds)
        } catch { throw BackendError(.system, "the memory cannot be made", cause: error) }
        let gate = MonitorGate(adopted.monitor, limit: adopted.pauseLimit)
        let executor = try ThreadExecutor()
        let mappings = memory.mappings(of: layout)
        let slots = try gate.withProcessorsOut { () throws(BackendError) -> SlotMap in
            var slots = SlotMap(bounds: layout.bounds, firstNumber: adopted.slots.lowerBound)
            adopted.monitor.memoryArrives(mappings)
            do throws(KVMError) { try memory.bind(layout, &slots) } catch {
                adopted.monitor.memoryLeaves(mappings)
                throw KVMBackend.inTheWay(error)
            }
            return slots
        }
        self.init(
            mode,
            Capabilities(mode, features, granularity: layout.granularity, dirtyLog: DirtyLogChoice.none),
            layout,
            memory,
            Parts(gate: gate, own: nil, adopted: adopted, tracker: tracker, executor: executor, features: features),
            SlotLedger(slots: slots, limit: slotCount)
        )
    }

    /// Where this process has the regions of RAM, in the order of the layout. It is good until the back end is gone.
    public var hostMappings: [HostMapping] { machine.mappings(of: layout) }

    /// Takes the memory out of an adopted machine, and lets the monitor put its own in its place
    /// (``MachineMonitor/memoryLeaves(_:)``), while its processors are out of the guest. Every call fails from then on.
    ///
    /// - Throws: `BackendError` with code `busy` where pages are private, or a change is under way: nothing has changed then; with
    ///   `unsupported` where the machine is this back end's own; with `guestFailed` where the monitor does not pause its
    ///   processors, and with `system` where KVM does not take a slot away: the guest may have all of the memory still then, and
    ///   ``shutDown()`` tries again.
    public func handBack() throws(BackendError) {
        guard let adopted else {
            throw BackendError(.unsupported, "the machine was not adopted: there is nobody to have its memory")
        }
        if let lost = engine.lost { throw lost }
        let isIdle = engine.retire(because: BackendError(.lost, "the memory has been handed back")) {
            machine.privatePages.runLength(from: layout.bounds.start, limit: layout.bounds.count) == layout.bounds.count
                && visibility(of: layout.bounds.start) == .shared
        }
        guard isIdle else {
            throw BackendError(
                .busy,
                "pages are private, or on their way: they have to be shared before they are handed back"
            )
        }
        try gate.withProcessorsOut { () throws(BackendError) in
            try removeSlots()
            adopted.monitor.memoryLeaves(hostMappings)
        }
    }

    /// Takes the memory out of an adopted machine for good. Where that does not succeed the guest may have it still: then it
    /// stays, or the guest would find whatever this process has at its addresses next.
    func takeMemoryOut() {
        let hasSlots = ledger.withLock { ledger in
            ledger.isClosed = true
            return !ledger.slots.slots.isEmpty
        }
        guard hasSlots else { return }
        do throws(BackendError) {
            try gate.withProcessorsOut { () throws(BackendError) in try removeSlots() }
        } catch {
            machine.keep()
            if let observer = engine.observer { executor.submit { observer.backendLost(error) } }
        }
    }

    private func removeSlots() throws(BackendError) {
        let slots = ledger.withLock { ledger in
            ledger.isClosed = true
            return ledger.slots.slots
        }
        for slot in slots {
            do throws(KVMError) { try machine.virtualMachine.removeSlot(slot.number) } catch {
                throw BackendError(
                    .system,
                    "a memory slot cannot be taken out of the machine",
                    range: slot.range,
                    cause: error
                )
            }
            ledger.withLock { ledger in
                ledger.slots.remove(slot.range)
                ledger.slots.settle(slot.range, to: .none, growth: -1)
            }
        }
    }

    /// Why slots cannot be made in a machine that has others.
    private static func inTheWay(_ error: KVMError) -> BackendError {
        switch error.errno {
        case .fileExists:
            BackendError(.invalidArgument, "the machine has memory there: its own slots have to go first", cause: error)
        case .invalidArgument:
            BackendError(.invalidArgument, "the machine has a slot of that number, which was lent", cause: error)
        default: BackendError(.system, "the memory cannot be put into the machine", cause: error)
        }
    }
}

extension MachineMemory {
    /// Where this process has each region of a layout.
    func mappings(of layout: GuestMemoryLayout) -> [HostMapping] {
        layout.regions.map { region in
            let offset = region.address.rawValue - layout.memoryStart
            return HostMapping(
                range: region,
                address: ram.windows.shared + UInt(offset),
                descriptor: ram.sharedMemory.file,
                offset: offset
            )
        }
    }
}

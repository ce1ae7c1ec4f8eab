import CKVM
public import Custody
import Synchronization
import SystemPackage

/// A back end that changes ownership of a real guest's memory through KVM.
///
/// - ``KVMMode/dual``: private pages live in a guest_memfd that the host can map but not fault, so the kernel stops it
///   (SIGBUS). A conversion binds memory slots to the other file, while no processor is in the guest; the pages of the
///   file before are dropped when it is finished, so the receiver reads zeroes.
/// - ``KVMMode/revoked``: one memory file; this process's window on a private page is closed with `mprotect(2)`, so this
///   process stops itself (SIGSEGV), and the contents stay.
///
/// A page owned by the host has no memory slot. All host access goes through a copy that survives the signal.
public final class KVMBackend: MemoryBackend {
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

    private let mode: KVMMode
    private let machine: GuestMachine
    private let windows: (shared: UInt, private: UInt)
    /// The lowest guest-physical byte address of RAM: where files and windows begin.
    private let base: UInt64
    private let gate: QuiesceGate
    private let processors: [VirtualProcessor]
    private let ledger: Mutex<ChangeLedger>

    /// Slots that only an undo may use.
    private static let spareSlots = 16

    /// Makes a virtual machine with all its RAM shared, and its processors.
    ///
    /// - Parameters:
    ///   - guest: The guest.
    ///   - mode: ``KVMMode/dual`` or ``KVMMode/revoked``.
    /// - Throws: `BackendError` with code `unavailable` where this machine or this user cannot do it.
    public convenience init(_ guest: GuestConfiguration, mode: KVMMode) throws(BackendError) {
        try self.init(guest, mode: mode, kernel: LinuxKernel(), slotLimit: nil)
    }

    /// Makes a virtual machine through a given kernel; `slotLimit` lowers the number of slots.
    package init(
        _ guest: GuestConfiguration,
        mode: KVMMode,
        kernel: any Kernel,
        slotLimit: Int?
    ) throws(BackendError) {
        try KVMBackend.checkProcessor()
        let device: KVMDevice
        do throws(KVMError) { device = try KVMDevice(kernel: kernel) } catch { throw KVMBackend.unavailable(error) }
        let features: KVMFeatures
        do throws(KVMError) { features = try KVMFeatures(of: device) } catch { throw KVMBackend.unavailable(error) }
        if let obstacle = features.obstacle(to: mode) {
            throw BackendError(.unavailable, "the mode ‘\(mode.rawValue)’ cannot be used here: \(obstacle)")
        }
        let capabilities = Capabilities(mode, features)
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
        guard ckvm_guarded_install() == 0, ckvm_kick_install() > 0 else {
            throw BackendError(.resourcesExhausted, "the handlers for SIGBUS, SIGSEGV and a real-time signal are taken")
        }

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
                boot: placement,
                slots: &slots,
                kernel: kernel
            )
        } catch { throw BackendError(.system, "the virtual machine cannot be made", cause: error) }
        let gate = QuiesceGate()
        let executor = try ThreadExecutor()
        var processors: [VirtualProcessor] = []
        do throws(BackendError) {
            for index in 0..<guest.processors {
                processors.append(
                    try VirtualProcessor(index, of: machine.virtualMachine, boot: machine.boot, gate: gate)
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
        base = bounds.address.rawValue
        initialOwnership = PageRunMap(bounds: bounds, state: .shared)
        windows = machine.ram.windows
        self.machine = machine
        self.gate = gate
        self.executor = executor
        self.processors = processors
        guestAgent = KVMGuestAgent(processors: processors)
        ledger = Mutex(ChangeLedger(slots: slots, limit: slotCount))
    }

    deinit { shutDown() }

    /// Names who is told when the guest is lost; it is held weakly.
    public func report(to observer: any BackendObserver) { ledger.withLock { $0.observer = observer } }

    // MARK: Changes

    /// Checks that the pages are where the change says, that nothing stale is in their new place, and that there are
    /// memory slots enough; holds those.
    ///
    /// - Complexity: O(log *n*) in the number of slots, and O(*m* / 64) in the number of pages.
    public func prepare(_ change: OwnershipChange) throws(BackendError) -> PreparedChange {
        let range = change.range
        if let hole = layout.firstHole(in: range) {
            throw BackendError(.invalidArgument, "\(hole) is not RAM of the guest", range: range)
        }
        try dropResidues(in: range)
        let result = ledger.withLock { ledger -> Result<Reservation, BackendError> in
            if let lost = ledger.lost { return .failure(lost) }
            guard let before = placement(of: range, ledger) else {
                return .failure(KVMBackend.scattered(range))
            }
            let after = placement(in: change.to, insteadOf: before)
            guard change.from == .inTransit || before == placement(in: change.from, insteadOf: before) else {
                return .failure(BackendError(.invalidArgument, "the pages are not \(change.from)", range: range))
            }
            let growth = SlotMap.growth(of: ledger.slots.steps(for: range, to: after.backing) ?? [])
            guard ledger.hasRoom(for: growth) else { return .failure(KVMBackend.noSlots(range)) }
            return .success(
                ledger.add(ChangePlan(change: change, before: before, after: after, slots: max(0, growth)))
            )
        }
        return PreparedChange(change, reservation: try result.get(), of: self)
    }

    /// Binds the pages to their new place. The pages before are kept.
    public func commit(_ prepared: consuming PreparedChange) throws(BackendError) -> CommitOutcome {
        let change = prepared.change
        let reservation = try prepared.take(for: self)
        guard var plan = ledger.withLock({ $0.remove(reservation) }) else {
            throw BackendError(.invalidArgument, "the change was not prepared here", range: change.range)
        }
        let growth = try move(change.range, to: plan.after, holding: plan.slots)
        plan.slots = max(0, -growth)
        let kept = plan
        let committed = ledger.withLock { $0.add(kept) }
        return .completed(CommittedChange(change, reservation: committed, of: self))
    }

    /// Drops the pages that nobody may reach any more.
    public func finish(_ committed: consuming CommittedChange) -> ContentsEffect {
        guard let reservation = committed.take(for: self), let plan = ledger.withLock({ $0.remove(reservation) })
        else { return .unspecified }
        guard mode == .dual, plan.before.isPrivate != plan.after.isPrivate else { return .preserved }
        drop(plan.before.isPrivate ? .private : .shared, plan.change.range)
        return .zeroed
    }

    /// Binds the pages to their place before, and drops what has come into the new one.
    public func undo(_ committed: consuming CommittedChange) throws(BackendError) {
        let change = committed.change
        guard let reservation = committed.take(for: self), let plan = ledger.withLock({ $0.remove(reservation) })
        else { throw BackendError(.invalidArgument, "the change was not made here", range: change.range) }
        do throws(BackendError) {
            _ = try move(change.range, to: plan.before, holding: nil)
        } catch {
            throw lose(BackendError(.lost, "a change cannot be taken back", range: change.range, cause: error))
        }
        if mode == .dual, plan.before.isPrivate != plan.after.isPrivate {
            drop(plan.after.isPrivate ? .private : .shared, change.range)
        }
    }

    /// Gives back the slots that a change holds.
    public func releaseReservation(_ reservation: Reservation, of change: OwnershipChange) {
        _ = ledger.withLock { $0.remove(reservation) }
    }

    /// There is never a hand-over to withdraw: commits complete at once.
    public func withdraw(_ handover: BackendHandover) -> Bool { false }

    /// Drops the pages from the files that their owners find them in; they read zeroes then.
    public func discardContents(of range: PageRange) throws(BackendError) {
        if let hole = layout.firstHole(in: range) {
            throw BackendError(.invalidArgument, "\(hole) is not RAM of the guest", range: range)
        }
        var rest: PageRange? = range
        while let part = rest {
            let count = mode == .dual ? machine.privatePages.runLength(from: part.start, limit: part.count) : part.count
            let end = PageNumber(part.start.rawValue + count)
            guard let run = part.prefix(before: end) else { return }
            do throws(KVMError) {
                try machine.ram.punchHole(
                    backing(holding: run.start),
                    offset: offset(of: run.start),
                    length: run.byteCount
                )
            } catch {
                throw BackendError(
                    .system,
                    "the pages cannot be dropped, from this range on; those before it are gone",
                    range: part,
                    cause: error
                )
            }
            rest = part.suffix(from: end)
        }
    }

    /// Takes all processors out of the guest and ends their threads; further changes are refused.
    public func shutDown() {
        let message = "the guest has been shut down"
        ledger.withLock { if $0.lost == nil { $0.lost = BackendError(.lost, message) } }
        let error = BackendError(.guestFailed, message)
        for processor in processors { processor.end(because: error) }
        gate.shut()
        for processor in processors { processor.waitForEnd() }
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

    // MARK: Host access

    /// Copies bytes out. A private page is looked for where it is, so what stops the copy is the kernel's signal.
    public func read(_ bytes: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError) {
        try unsafe bytes.withUnsafeMutableBufferPointer { buffer throws(BackendError) in
            guard let destination = unsafe buffer.baseAddress.map(UnsafeMutableRawPointer.init) else { return }
            try unsafe forEachPart(of: buffer.count, from: address) { window, offset, count, fault in
                unsafe ckvm_guarded_copy(destination + offset, window, count, &fault)
            }
        }
    }

    /// Copies bytes in.
    public func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError) {
        try unsafe bytes.withUnsafeBufferPointer { buffer throws(BackendError) in
            guard let source = unsafe buffer.baseAddress.map(UnsafeRawPointer.init) else { return }
            try unsafe forEachPart(of: buffer.count, from: address) { window, offset, count, fault in
                unsafe ckvm_guarded_copy(window, source + offset, count, &fault)
            }
        }
    }

    /// Gives `body` the part of a window, the offset in the caller's bytes, and the count, for each run of pages that are
    /// in one file.
    @inline(__always)
    private func forEachPart(
        of count: Int,
        from address: GuestPhysicalAddress,
        _ body: (UnsafeMutableRawPointer, Int, Int, inout UInt) -> Int32
    ) throws(BackendError) {
        guard count > 0 else { return }
        let lastByte = address.rawValue.addingReportingOverflow(UInt64(count) &- 1)
        guard !lastByte.overflow, let region = layout.region(containing: address.page),
            region.contains(GuestPhysicalAddress(lastByte.partialValue).page)
        else { throw KVMBackend.outside(address, count) }
        var done = 0
        while done < count {
            let at = address.rawValue &+ UInt64(done)
            let page = PageNumber(at / PageSize.base.bytes)
            let inPage = at % PageSize.base.bytes
            var length = count &- done
            if length > Int(PageSize.base.bytes &- inPage) {
                let pages = (inPage &+ UInt64(length) &+ (PageSize.base.bytes &- 1)) / PageSize.base.bytes
                length = min(
                    length,
                    Int(machine.privatePages.runLength(from: page, limit: pages) &* PageSize.base.bytes &- inPage)
                )
            }
            let window = machine.privatePages.bit(at: page) ? windows.private : windows.shared
            let start = window &+ UInt(at &- base)
            guard let pointer = unsafe UnsafeMutableRawPointer(bitPattern: start) else { return }
            var fault: UInt = 0
            let signal = unsafe body(pointer, done, length, &fault)
            guard signal == 0 else {
                let inside = fault >= start && fault - start < UInt(length)
                throw denied(at: at + (inside ? UInt64(fault - start) : 0), signal)
            }
            done &+= length
        }
    }

    // MARK: Moving pages

    /// Puts the pages into another place, or leaves all of them where they were.
    ///
    /// - Parameter holding: the slots held for this; `nil` for a change taken back, which may use every slot.
    /// - Returns: by how many slots the guest has more.
    private func move(
        _ range: PageRange,
        to target: ChangePlan.Placement,
        holding held: Int?
    ) throws(BackendError) -> Int {
        let current = ledger.withLock { $0.slots.backings[range.start] }
        guard current != target.backing else {
            // The guest notices nothing: no processor has to leave.
            try carryOut(windowSteps(for: range, to: target))
            ledger.withLock { _ in machine.privatePages.set(range, to: target.isPrivate) }
            return 0
        }
        return try gate.withProcessorsOut { () throws(BackendError) in
            let slotSteps = try ledger.withLock { ledger in
                let steps = ledger.slots.steps(for: range, to: target.backing)
                guard let steps else { return Result<[SlotStep], BackendError>.failure(KVMBackend.scattered(range)) }
                let growth = SlotMap.growth(of: steps)
                guard let held, !ledger.hasRoom(for: growth - held) else { return .success(steps) }
                return .failure(KVMBackend.noSlots(range))
            }.get()
            let window = windowSteps(for: range, to: target)
            try carryOut(target.isPrivate ? window + slotSteps : slotSteps + window)
            let growth = SlotMap.growth(of: slotSteps)
            ledger.withLock { ledger in
                ledger.slots.settle(range, to: target.backing, growth: growth)
                machine.privatePages.set(range, to: target.isPrivate)
            }
            return growth
        }
    }

    /// The steps that open or close the host's window.
    private func windowSteps(for range: PageRange, to target: ChangePlan.Placement) -> [SlotStep] {
        guard mode != .dual, machine.privatePages.bit(at: range.start) != target.isPrivate else { return [] }
        return target.isPrivate
            ? [.protect(range, from: .readWrite, to: .none)] : [.protect(range, from: .none, to: .readWrite)]
    }

    /// Makes all steps, or takes back those that were made.
    private func carryOut(_ steps: [SlotStep]) throws(BackendError) {
        for (index, step) in steps.enumerated() {
            do throws(KVMError) { try make(step) } catch {
                for done in steps[..<index].reversed() {
                    do throws(KVMError) { try make(done.inverse) } catch {
                        throw lose(
                            BackendError(.lost, "a change failed and cannot be taken back", cause: error)
                        )
                    }
                }
                let code: BackendError.Code = error.errno == .noMemory ? .resourcesExhausted : .system
                throw BackendError(code, "the pages cannot change hands; nothing has changed", cause: error)
            }
        }
    }

    /// Makes one step, with one system call.
    private func make(_ step: SlotStep) throws(KVMError) {
        switch step {
        case .add(let range, let backing):
            guard let number = ledger.withLock({ $0.slots.number(for: step) }) else { return }
            try machine.ram.bind(
                number,
                to: range,
                offset: offset(of: range.start),
                backing,
                in: machine.virtualMachine
            )
        case .remove:
            guard let number = ledger.withLock({ $0.slots.number(for: step) }) else { return }
            try machine.virtualMachine.removeSlot(number)
        case .protect(let range, from: _, let protection):
            try machine.ram.protect(protection, offset: offset(of: range.start), length: range.byteCount)
            return
        }
        ledger.withLock { $0.slots.record(step) }
    }

    /// Drops the pages of a file; what the kernel does not drop is noted, and dropped before it is used again.
    private func drop(_ backing: Backing, _ range: PageRange) {
        do throws(KVMError) {
            try machine.ram.punchHole(backing, offset: offset(of: range.start), length: range.byteCount)
        } catch {
            ledger.withLock { $0.residues.append(ChangeLedger.Residue(backing: backing, range: range)) }
        }
    }

    /// Drops what an earlier change ought to have dropped from any file of the pages.
    private func dropResidues(in range: PageRange) throws(BackendError) {
        let residues = ledger.withLock { $0.residues.filter { $0.range.overlaps(range) } }
        for residue in residues {
            do throws(KVMError) {
                try machine.ram.punchHole(
                    residue.backing,
                    offset: offset(of: residue.range.start),
                    length: residue.range.byteCount
                )
            } catch {
                throw BackendError(
                    .resourcesExhausted,
                    "stale pages of an earlier change cannot be dropped yet",
                    range: residue.range,
                    cause: error
                )
            }
            ledger.withLock { ledger in ledger.residues.removeAll { $0 == residue } }
        }
    }

    /// Where all pages of a range are, or `nil` where they are not in one place.
    private func placement(of range: PageRange, _ ledger: ChangeLedger) -> ChangePlan.Placement? {
        guard let run = ledger.slots.backings.run(containing: range.start), run.range.contains(range),
            machine.privatePages.runLength(from: range.start, limit: range.count) == range.count
        else { return nil }
        return ChangePlan.Placement(backing: run.state, isPrivate: machine.privatePages.bit(at: range.start))
    }

    /// Where a page belongs in an ownership. In transit it stays where it is: the guest goes on as before.
    private func placement(
        in ownership: Ownership,
        insteadOf current: ChangePlan.Placement
    ) -> ChangePlan.Placement {
        switch ownership {
        case .shared: ChangePlan.Placement(backing: .shared, isPrivate: false)
        case .private: ChangePlan.Placement(backing: mode == .dual ? .private : .shared, isPrivate: true)
        case .host: ChangePlan.Placement(backing: .none, isPrivate: false)
        case .inTransit: current
        }
    }

    private func backing(holding page: PageNumber) -> Backing {
        mode == .dual && machine.privatePages.bit(at: page) ? .private : .shared
    }

    private func offset(of page: PageNumber) -> UInt64 {
        page.address.rawValue - base
    }

    // MARK: Errors

    /// Notes that the guest's state is not known any more, and tells the observer.
    private func lose(_ error: BackendError) -> BackendError {
        let observer = ledger.withLock { ledger in
            ledger.lost = error
            return ledger.observer
        }
        if let observer { executor.submit { observer.backendLost(error) } }
        return error
    }

    private func denied(at address: UInt64, _ signal: Int32) -> BackendError {
        let address = GuestPhysicalAddress(address)
        let name = signal == CKVM_SIGNAL_BUS ? "SIGBUS" : "SIGSEGV"
        return BackendError(
            .accessDenied,
            "the host may not touch \(address)",
            range: try? PageRange(address.page),
            fault: HostFault(enforcement: capabilities.enforcement, address: address, evidence: name)
        )
    }

    private static func outside(_ address: GuestPhysicalAddress, _ count: Int) -> BackendError {
        BackendError(.invalidArgument, "\(count) bytes from \(address) on are not in one region of the guest's RAM")
    }

    private static func scattered(_ range: PageRange) -> BackendError {
        BackendError(.invalidArgument, "the pages are not all in one ownership", range: range)
    }

    private static func noSlots(_ range: PageRange) -> BackendError {
        BackendError(
            .resourcesExhausted,
            "KVM has no memory slot left: convert neighbouring pages together, or convert some back",
            range: range
        )
    }

    static func unavailable(_ error: KVMError) -> BackendError {
        BackendError(.unavailable, "KVM cannot be used", cause: error)
    }

    static func checkProcessor() throws(BackendError) {
        guard ckvm_guest_program_size() > 0 else {
            throw BackendError(.unavailable, "this version runs guests on x86-64 only")
        }
    }
}

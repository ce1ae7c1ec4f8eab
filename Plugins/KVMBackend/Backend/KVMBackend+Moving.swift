import Custody
import SystemPackage

// Taking pages from one place to another, step by step, or back.
extension KVMBackend {
    /// How a move ended that did not fail.
    enum Move {
        /// The pages are in their new place; the guest has so many slots more.
        case moved(growth: Int)
        /// The pages are where they were, because somebody holds this one.
        case held(PageNumber)
    }

    /// Puts the pages into another place, or leaves all of them where they were.
    ///
    /// Processors have to leave the guest only where slots are replaced: a mode's own call is seen by them all at once.
    ///
    /// - Parameter holding: the slots held for this; `nil` for a change taken back, which may use every slot.
    func relocate(
        _ range: PageRange,
        to target: ChangePlan.Placement,
        holding held: Int?
    ) throws(BackendError) -> Move {
        let current = ledger.withLock { $0.slots.backings[range.start] }
        guard current != target.backing else { return try moveInside(range, to: target, holding: held) }
        return try gate.withProcessorsOut { () throws(BackendError) in
            try moveInside(range, to: target, holding: held)
        }
    }

    private func moveInside(
        _ range: PageRange,
        to target: ChangePlan.Placement,
        holding held: Int?
    ) throws(BackendError) -> Move {
        let slotSteps = try ledger.withLock { ledger in
            // A change that was planned or made before may come after that.
            if ledger.isClosed {
                let lost = engine.lost ?? BackendError(.lost, "the machine does not have the memory any more")
                return Result<[SlotStep], BackendError>.failure(lost)
            }
            let steps = ledger.slots.steps(for: range, to: target.backing)
            guard let steps else { return .failure(KVMBackend.scattered(range)) }
            let growth = SlotMap.growth(of: steps)
            guard let held, !ledger.hasRoom(for: growth, holding: held) else { return .success(steps) }
            return .failure(KVMBackend.noSlots(range))
        }.get()
        // Away from the host first, to the host last: in between the page is nobody's, never both sides'.
        let conversion = conversionSteps(for: range, to: target.visibility)
        let steps = target.visibility == .private ? conversion + slotSteps : slotSteps + conversion
        if let page = try carryOut(steps) { return .held(page) }
        let growth = SlotMap.growth(of: slotSteps)
        ledger.withLock { ledger in
            ledger.slots.settle(range, to: target.backing, growth: growth)
            machine.privatePages.set(range, to: target.visibility == .private)
        }
        return .moved(growth: growth)
    }

    /// The step by which the mode itself converts the pages, where it does not by their slots.
    private func conversionSteps(for range: PageRange, to target: Visibility) -> [SlotStep] {
        guard machine.ram.privateBacking == .shared, visibility(of: range.start) != target else { return [] }
        return [.convert(range, to: target)]
    }

    /// Makes all steps, or takes back those that were made.
    ///
    /// - Returns: the page that is held, where that is why none is made; `nil` when all are.
    private func carryOut(_ steps: [SlotStep]) throws(BackendError) -> PageNumber? {
        for (index, step) in steps.enumerated() {
            let page: PageNumber?
            do throws(KVMError) { page = try make(step) } catch {
                try takeBack(steps[..<index])
                let code: BackendError.Code = error.errno == .noMemory ? .resourcesExhausted : .system
                throw BackendError(code, "the pages cannot change hands; nothing has changed", cause: error)
            }
            guard let page else { continue }
            try takeBack(steps[..<index])
            return page
        }
        return nil
    }

    /// Takes back steps that were made, the last one first.
    private func takeBack(_ steps: ArraySlice<SlotStep>) throws(BackendError) {
        for step in steps.reversed() {
            let cause: (any Error)?
            do throws(KVMError) {
                guard try make(step.inverse) != nil else { continue }
                cause = nil
            } catch { cause = error }
            throw lose(BackendError(.lost, "a change failed and cannot be taken back", cause: cause))
        }
    }

    /// Makes one step, with one system call.
    ///
    /// - Returns: the page that is held, where that is why it is not made.
    private func make(_ step: SlotStep) throws(KVMError) -> PageNumber? {
        switch step {
        case .add(let range, let backing):
            // From here on the number is this step's alone, whoever else makes a slot meanwhile.
            let number = ledger.withLock { $0.slots.takeNumber() }
            do throws(KVMError) {
                try tracker.add(number, range) { flags throws(KVMError) in
                    try machine.ram.bind(
                        number,
                        to: range,
                        offset: offset(of: range.start),
                        backing,
                        flags: flags,
                        in: machine.virtualMachine
                    )
                }
            } catch {
                ledger.withLock { $0.slots.giveBack(number) }
                throw error
            }
            ledger.withLock { $0.slots.add(number, range) }
        case .remove(let range, _):
            guard let number = ledger.withLock({ $0.slots.number(of: range) }) else { return nil }
            try tracker.remove(number) { () throws(KVMError) in try machine.virtualMachine.removeSlot(number) }
            ledger.withLock { $0.slots.remove(range) }
        case .convert(let range, let target):
            switch try machine.ram.convert(pages(range), to: target, in: machine.virtualMachine) {
            case .done: break
            case .held(let offset): return PageNumber((base + offset) / PageSize.base.bytes)
            }
        }
        return nil
    }

    // MARK: Stale bytes

    /// Drops what pages have left behind in the other file; what the kernel does not drop is noted, and dropped before it
    /// is used again.
    func dropStale(_ visibility: Visibility, _ range: PageRange) {
        guard machine.ram.leavesStaleBytes else { return }
        do throws(KVMError) {
            if try drop(visibility, range) { return }
        } catch {}
        ledger.withLock { $0.residues.append(SlotLedger.Residue(visibility: visibility, range: range)) }
    }

    /// Drops what an earlier change ought to have dropped from any file of the pages.
    func dropResidues(in range: PageRange) throws(BackendError) {
        let residues = ledger.withLock { $0.residues.filter { $0.range.overlaps(range) } }
        for residue in residues {
            var cause: KVMError?
            var isGone = false
            do throws(KVMError) { isGone = try drop(residue.visibility, residue.range) } catch { cause = error }
            guard isGone else {
                throw BackendError(
                    .resourcesExhausted,
                    "stale pages of an earlier change cannot be dropped yet",
                    range: residue.range,
                    cause: cause
                )
            }
            ledger.withLock { ledger in ledger.residues.removeAll { $0 == residue } }
        }
    }

    /// Drops pages of a memory that nobody may reach.
    ///
    /// - Returns: `false` where it still has memory there, as far as the kernel tells.
    private func drop(_ visibility: Visibility, _ range: PageRange) throws(KVMError) -> Bool {
        let pages = pages(range)
        let memory = machine.ram.memory(of: visibility)
        try memory.discard(offset: pages.offset, length: pages.length)
        return try memory.hasMemory(offset: pages.offset, length: pages.length) != true
    }

    // MARK: Places

    /// Whether the pages are RAM of the guest.
    func checkIsRAM(_ range: PageRange) throws(BackendError) {
        if let hole = layout.firstHole(in: range) {
            throw BackendError(.invalidArgument, "\(hole) is not RAM of the guest", range: range)
        }
    }

    /// Where all pages of a range are, or `nil` where they are not in one place.
    func placement(of range: PageRange, _ ledger: SlotLedger) -> ChangePlan.Placement? {
        guard let run = ledger.slots.backings.run(containing: range.start), run.range.contains(range),
            machine.privatePages.runLength(from: range.start, limit: range.count) == range.count
        else { return nil }
        return ChangePlan.Placement(backing: run.state, visibility: visibility(of: range.start))
    }

    /// Where a page belongs in an ownership. In transit it stays where it is: the guest goes on as before.
    func placement(
        in ownership: Ownership,
        insteadOf current: ChangePlan.Placement
    ) -> ChangePlan.Placement {
        switch ownership {
        case .shared: ChangePlan.Placement(backing: .shared, visibility: .shared)
        case .private: ChangePlan.Placement(backing: machine.ram.privateBacking, visibility: .private)
        case .host: ChangePlan.Placement(backing: .none, visibility: .shared)
        case .inTransit: current
        }
    }

    func visibility(of page: PageNumber) -> Visibility { machine.privatePages.bit(at: page) ? .private : .shared }

    func pages(_ range: PageRange) -> FilePages { FilePages(range: range, offset: offset(of: range.start)) }

    func offset(of page: PageNumber) -> UInt64 { page.address.rawValue - base }
}

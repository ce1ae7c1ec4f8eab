import Custody
import CustodyProtocols

// Moving pages from one owner to the other by the protocol, and what goes wrong with it.
extension SimulationBackend {
    enum Moved {
        case completed
        case blocked([Blocker])
        case pending(BackendHandover, [Blocker])
    }

    func move(_ change: OwnershipChange, _ state: inout SimulationState) throws(BackendError) -> Moved {
        let range = change.range
        let pages = file.pages(of: range)
        if change.to == .private {
            try inject(.unmap, range, &state)
            // The monitor's own mappings go first; that nobody of it uses them is the ledger's to know.
            // A folio counts as mapped while any page of it is.
            let folios = pages.covering(
                folios: state.kernel.world.pagesPerFolio,
                within: state.kernel.world.pageCount
            )
            try call(folios.operation(.hostUnmap), range, &state)
            let answer = try call(pages.operation(.convertToPrivate, behavior: .leaves), range, &state)
            if !state.kernel.world.isUniform(pages.first, pages.count, .guest) {
                return try unfinished(change, pages, answer, &state)
            }
        } else if change.from == .private {
            try call(pages.operation(.convertToShared), range, &state)
        }
        if change.to == .host {
            state.kernel.withWorld { world in
                for page in pages where world.page(page).isGuestMapped {
                    var entry = world.page(page)
                    entry.isGuestMapped = false
                    world.setPage(page, to: entry)
                }
            }
        }
        if change.to == .host || change.from == .host { state.reclaimed.set(range, to: change.to == .host) }
        return .completed
    }

    /// A conversion to private that did not get everywhere: all of it is registered, or none of it stays.
    func unfinished(
        _ change: OwnershipChange,
        _ pages: PageOffsets,
        _ answer: Answer,
        _ state: inout SimulationState
    ) throws(BackendError) -> Moved {
        let isAllRegistered = pages.allSatisfy { page in
            let mappability = state.kernel.world.page(page).mappability
            return mappability == .guest || mappability == .none && isRegistered(page, state)
        }
        let blockers = self.blockers(of: change.range, pages, state)
        if isAllRegistered {
            state.nextNumber += 1
            let handover = BackendHandover(rawValue: state.nextNumber)
            state.pending[handover] = SimulationState.Pending(change: change, pages: pages)
            if change.from == .host { state.reclaimed.set(change.range, to: false) }
            return .pending(handover, blockers)
        }
        try call(pages.operation(.convertToShared), change.range, &state)
        guard answer.outcome == .failed else { return .blocked(blockers) }
        throw BackendError(
            answer.kernel == .noMemory ? .resourcesExhausted : .system,
            "the kernel answered \(answer.kernel.name)",
            range: change.range
        )
    }

    func isRegistered(_ page: PageOffset, _ state: SimulationState) -> Bool {
        guard let folio = state.kernel.world.cachedFolio(at: page) else { return false }
        let flags = state.kernel.world.folio(folio).flags
        return flags.contains(.guestmem) || flags.contains(.queued)
    }

    func isOwned(_ range: PageRange, _ ownership: Ownership, _ state: SimulationState) -> Bool {
        let pages = file.pages(of: range)
        guard state.reclaimed.isUniform(range, ownership == .host) else { return false }
        return state.kernel.world.isUniform(pages.first, pages.count, ownership == .private ? .guest : .all)
    }

    /// Who stands in the way, as far as the kernel knows: the processes that hold references.
    func blockers(of range: PageRange, _ pages: PageOffsets, _ state: SimulationState) -> [Blocker] {
        var blockers: [Blocker] = []
        for (index, page) in pages.enumerated() {
            guard state.kernel.world.page(page).mappability != .guest,
                let held = try? PageRange(PageNumber(range.start.rawValue + UInt64(index)))
            else { continue }
            let isMapped = state.kernel.world.page(page).hostMappings != 0
            let names = state.kernel.holders(of: page)
            guard isMapped || !names.isEmpty else { continue }
            for name in names.isEmpty ? ["another address space"] : names {
                blockers.append(
                    Blocker(
                        holder: Holder(device: name),
                        range: held,
                        kind: isMapped ? .mapping : .pin,
                        since: clock.now
                    )
                )
            }
        }
        return blockers
    }

    @discardableResult
    func call(
        _ operation: CustodyProtocols.Operation,
        _ range: PageRange,
        _ state: inout SimulationState
    ) throws(BackendError) -> Answer {
        let result = state.kernel.call(operation)
        guard result.stuck == .none else { throw stuck(result.stuck, range, &state) }
        return result.answer
    }

    func stuck(_ wait: Wait, _ range: PageRange, _ state: inout SimulationState) -> BackendError {
        lose("the kernel is deadlocked: a call waits for \(wait.text)", range, &state)
    }

    func lose(_ message: String, _ range: PageRange, _ state: inout SimulationState) -> BackendError {
        let error = BackendError(.lost, message, range: range)
        state.lost = error
        return error
    }

    /// Keeps the bytes of pages aside whose next owner is to read zeroes.
    func keepStale(_ change: OwnershipChange, _ reservation: Reservation, _ state: inout SimulationState) {
        guard options.contents == .zeroed else { return }
        let pages = file.pages(of: change.range)
        let stale: SimulationState.Stale = state.kernel.withWorld { world in
            var stale: SimulationState.Stale = []
            for page in pages {
                guard let bytes = world.written(page) else { continue }
                stale.append((page, bytes))
                world.store(SimulationBackend.zeroes, in: page, 0)
            }
            return stale
        }
        if !stale.isEmpty { state.stale[reservation] = stale }
    }

    static let zeroes = [UInt8](repeating: 0, count: Int(PageSize.base.bytes))[...]

    // MARK: What goes wrong

    func inject(_ point: Fault.Point, _ range: PageRange, _ state: inout SimulationState) throws(BackendError) {
        if let lost = state.lost { throw lost }
        for effect in state.faults.count(point) {
            switch effect {
            case .fail(let code): throw BackendError(code, "injected at \(point.rawValue)", range: range)
            case .delay(let duration): clock.charge(duration)
            case .poison(let address):
                guard let page = file.offset(of: address.page) else { continue }
                try call(Operation(.poison, start: page), range, &state)
            case .lose:
                let error = lose("injected at \(point.rawValue)", range, &state)
                let observer = state.observer
                clock.submit { observer?.backendLost(error) }
                throw error
            }
        }
    }
}

public import Custody
import CustodyProtocols

// Regions that come and go as memory modules do: the guest is asked for them, and answers when it likes.
extension SimulationBackend {
    /// What keeps a change from being made at once that is not the kernel's affair: a guest that is asked for a module, or
    /// processes beside this one that have the pages mapped.
    func obstacles(to change: OwnershipChange, _ state: SimulationState) -> [Blocker] {
        var blockers: [Blocker] = []
        if change.to == .host, options.modules, !state.released.contains(change.range) {
            blockers.append(
                Blocker(
                    holder: Holder(device: "guest", purpose: "memory module"),
                    range: change.range,
                    kind: .mapping,
                    since: clock.now
                )
            )
        }
        guard !change.to.allows(.host) || options.modules && change.to == .host else { return blockers }
        for (name, neighbour) in state.neighbours.sorted(by: { $0.key < $1.key }) {
            // A mapping can be grown over the rest of its file without an open: each is in the way of a whole region.
            guard let region = layout.region(containing: neighbour.range.start),
                let held = region.intersection(change.range)
            else { continue }
            let holder = Holder(device: name, process: neighbour.process)
            blockers.append(Blocker(holder: holder, range: held, kind: .mapping, since: clock.now))
        }
        return blockers
    }

    /// Registers a change that waits for others than the kernel, where there are such.
    func register(_ change: OwnershipChange, _ state: inout SimulationState) -> Moved? {
        let blockers = obstacles(to: change, state)
        guard !blockers.isEmpty else { return nil }
        state.nextNumber += 1
        let handover = BackendHandover(rawValue: state.nextNumber)
        state.waiting[handover] = change
        return .pending(handover, blockers)
    }

    /// Has the guest answer from now on, and to what it has been asked already.
    public func answerRemovals(_ answer: RemovalAnswer) {
        state.withLock { $0.answer = answer }
        submitWork()
    }

    /// What a guest's answer and what other processes let go of mean for the changes that wait.
    func settleWaiting(_ state: inout SimulationState) -> [Settled] {
        var settled: [Settled] = []
        for (handover, change) in state.waiting.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            if change.to == .host, options.modules, !state.released.contains(change.range) {
                switch state.answer {
                case .ignore: continue
                case .accept:
                    state.released.append(change.range)
                    settled.append(.advanced(handover, obstacles(to: change, state)))
                case .refuse:
                    state.waiting.removeValue(forKey: handover)
                    let error = BackendError(.refusedByGuest, "the guest keeps the module", range: change.range)
                    settled.append(.failed(handover, error))
                    continue
                }
            }
            guard obstacles(to: change, state).isEmpty else { continue }
            do throws(BackendError) {
                switch try move(change, &state) {
                case .completed:
                    keepStale(change, Reservation(rawValue: handover.rawValue), &state)
                    settled.append(.completed(handover, change))
                case .blocked: continue
                case .pending(let other, _): state.pending[handover] = state.pending.removeValue(forKey: other)
                }
            } catch {
                settled.append(.failed(handover, error))
            }
            state.waiting.removeValue(forKey: handover)
        }
        if state.answer == .accept {
            for range in state.unwanted { settled.append(.offered(range)) }
            state.released += state.unwanted
            state.unwanted = []
        }
        return settled
    }

    /// Whether something that waits need not any more.
    func isSettlingDue(_ state: SimulationState) -> Bool {
        if !state.unwanted.isEmpty, state.answer == .accept { return true }
        return state.waiting.values.contains { change in
            let obstacles = obstacles(to: change, state)
            let isAsked = obstacles.contains { $0.holder.process == nil }
            return obstacles.isEmpty || isAsked && state.answer != .ignore
        }
    }

    /// Forgets a change that waits. The guest cannot be told: it may give the module up later.
    func forget(_ handover: BackendHandover, _ state: inout SimulationState) -> Bool {
        guard let change = state.waiting.removeValue(forKey: handover) else { return false }
        guard change.to == .host, options.modules else { return true }
        state.unwanted.append(change.range)
        return true
    }

    /// Gives the memory of a module back that has gone to the host.
    func returnMemory(of range: PageRange) {
        state.withLock { state in
            state.released.removeAll { $0 == range }
            let pages = file.pages(of: range)
            _ = state.kernel.call(pages.operation(.punchHole))
            state.kernel.withWorld { world in
                for page in pages where world.written(page) != nil {
                    world.store(SimulationBackend.zeroes, in: page, 0)
                }
            }
        }
    }

    /// The end of a change that waited.
    enum Settled {
        case completed(BackendHandover, OwnershipChange)
        case failed(BackendHandover, BackendError)
        case advanced(BackendHandover, [Blocker])
        case offered(PageRange)
    }
}

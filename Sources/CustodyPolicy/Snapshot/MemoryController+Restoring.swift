public import Custody

extension MemoryController {
    /// A controller that goes on from a snapshot, for a monitor that was started again with the guest still there.
    ///
    /// The ownership is the one that the back end reports. What the rules remember and the time boxes go on with the
    /// ages that they had; the time in between is not known and counts as none, and what is older than the back end's
    /// time counts as old as that. A hand-over goes on where each of its pages is in the ownership before or after it.
    /// ``restoration`` has all differences.
    public convenience init(
        backend: any MemoryBackend,
        policy: any Policy,
        limits: ControllerLimits = ControllerLimits(),
        pool: SharedPool? = nil,
        observer: (any ControllerObserver)? = nil,
        restoring snapshot: ControllerSnapshot
    ) {
        self.init(backend: backend, policy: policy, limits: limits, pool: pool, observer: observer)
        restore(snapshot)
    }

    /// What became of the snapshot that the controller was made from; `nil` where it was made from none.
    public var restoration: Restoration? { state.withLock { $0.restoration } }

    private func restore(_ snapshot: ControllerSnapshot) {
        let now = executor.now
        func moved(_ time: Timestamp) -> Timestamp {
            guard time < snapshot.time else { return now.advanced(by: time.since(snapshot.time)) }
            let age = snapshot.time.rawValue - time.rawValue
            return Timestamp(rawValue: now.rawValue > age ? now.rawValue - age : 0)
        }
        // What is to be done follows from the pages as they are in the step that claims them.
        let begun = state.withLock { begin(snapshot, &$0, now, moved) }
        let report = Restoration(
            ownership: differences(snapshot, begun.actual),
            resumed: begun.resumed.map(\.ticket.id),
            completed: begun.completed,
            lost: begun.lost,
            leases: snapshot.leases,
            timeBoxes: begun.timeBoxes
        )
        state.withLock { $0.restoration = report }
        if let alarm = begun.alarm { setAlarm(alarm) }
        for handover in begun.resumed {
            watch(handover)
            executor.submit { [weak self] in self?.resume(handover) }
        }
    }

    /// What a controller goes on with, and how the pages were then.
    private struct Beginning {
        let actual: PageRunMap<Ownership>
        var resumed: [Handover] = []
        var completed: [TicketID] = []
        var lost: [Restoration.Lost] = []
        var timeBoxes: [PageRange] = []
        /// When the first of the time boxes is due, where somebody has to be told.
        var alarm: Timestamp?
    }

    /// Claims what is left to do of a snapshot's hand-overs, and opens its time boxes.
    ///
    /// - Complexity: O(*k* log *n*) for *k* parts of hand-overs and of time boxes, whatever else is in the snapshot.
    private func begin(
        _ snapshot: ControllerSnapshot,
        _ state: inout ControllerState,
        _ now: Timestamp,
        _ moved: (Timestamp) -> Timestamp
    ) -> Beginning {
        var begun = Beginning(actual: state.ownership)
        for (name, time) in snapshot.memory.marks { state.memory[name] = moved(time) }
        state.nextTicket = max(state.nextTicket, snapshot.nextTicket)
        for box in snapshot.timeBoxes {
            let ranges = box.ranges.flatMap { range in
                layout.memory(in: range).flatMap { state.ownership.runs(in: $0) }.filter { $0.state == .shared }
            }.map(\.range)
            guard !ranges.isEmpty else { continue }
            begun.timeBoxes += ranges
            let box = TimeBox(due: moved(box.due), period: box.period)
            for range in ranges { state.timeBoxes.open(range, box) }
        }
        for change in snapshot.handovers {
            guard let id = change.ticket else { continue }
            let (changes, stray) = rest(of: change, in: state.ownership)
            if let stray {
                begun.lost.append(Restoration.Lost(ticket: id, reason: "\(stray) by the back end"))
            } else if changes.isEmpty {
                begun.completed.append(id)
            } else {
                let handover = handover(change, changes, id, &state, now, moved)
                state.add(Claim(work: handover.work, phase: .draining, handover: handover))
                if change.target == .shared { pool?.charge(handover.work.changes.pageCount) }
                begun.resumed.append(handover)
            }
        }
        begun.alarm = state.timeBoxes.nextAlarm()
        return begun
    }

    /// What of a change is still to be done.
    private func rest(
        of change: ControllerSnapshot.Change,
        in actual: PageRunMap<Ownership>
    ) -> (rest: [OwnershipChange], stray: OwnershipDifference?) {
        var rest: [OwnershipChange] = []
        for transit in change.transits {
            if let hole = layout.firstHole(in: transit.range), let page = try? PageRange(hole) {
                return ([], OwnershipDifference(range: page, before: transit.before, after: nil))
            }
            for run in actual.runs(in: transit.range) where run.state != change.target {
                guard run.state == transit.before else {
                    return ([], OwnershipDifference(range: run.range, before: transit.before, after: run.state))
                }
                rest.append(
                    OwnershipChange(
                        range: run.range,
                        from: run.state,
                        to: change.target,
                        initiator: change.requester.party
                    )
                )
            }
        }
        return (rest, nil)
    }

    private func handover(
        _ change: ControllerSnapshot.Change,
        _ rest: [OwnershipChange],
        _ ticket: TicketID,
        _ state: inout ControllerState,
        _ now: Timestamp,
        _ moved: (Timestamp) -> Timestamp
    ) -> Handover {
        var changes = Changes()
        for change in rest { changes.append(change) }
        let request = ConversionRequest(
            change.range,
            to: change.target,
            by: change.requester,
            contents: change.contents
        )
        let deadline = change.deadline.map { moved($0).since(now) }
        let work = Work(
            id: state.claims.reserve(),
            request: request,
            range: change.range,
            changes: changes,
            terms: change.terms
        )
        return Handover(makeTicket(work, deadline, now, ticket.rawValue), work)
    }

    /// Where the back end does not agree with the snapshot.
    private func differences(
        _ snapshot: ControllerSnapshot,
        _ actual: PageRunMap<Ownership>
    ) -> [OwnershipDifference] {
        var expected = snapshot.ownershipMap
        for change in snapshot.changes {
            for transit in change.transits {
                for run in actual.runs(in: transit.range)
                where run.state == change.target || run.state == transit.before {
                    expected.set(run.range, to: run.state)
                }
            }
        }
        let before = snapshot.layout.regions.flatMap { region in
            expected.runs(in: region).map { ControllerSnapshot.Run(range: $0.range, ownership: $0.state) }
        }
        let after = layout.regions.flatMap { region in
            actual.runs(in: region).map { ControllerSnapshot.Run(range: $0.range, ownership: $0.state) }
        }
        return OwnershipDifference.between(before, after)
    }
}

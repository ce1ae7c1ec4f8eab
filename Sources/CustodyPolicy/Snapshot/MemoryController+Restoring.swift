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
        let actual = state.withLock { $0.ownership }
        var resumed: [Handover] = []
        var completed: [TicketID] = []
        var lost: [Restoration.Lost] = []
        for change in snapshot.handovers {
            guard let id = change.ticket else { continue }
            let (changes, stray) = rest(of: change, in: actual)
            if let stray {
                lost.append(Restoration.Lost(ticket: id, reason: "\(stray) by the back end"))
            } else if changes.isEmpty {
                completed.append(id)
            } else {
                resumed.append(handover(change, changes, now, moved))
            }
        }
        let boxes: [(ranges: [PageRange], box: TimeBox)] = snapshot.timeBoxes.compactMap { box in
            let ranges = box.ranges.flatMap { range in
                layout.memory(in: range).flatMap { actual.runs(in: $0) }.filter { $0.state == .shared }.map(\.range)
            }
            return ranges.isEmpty ? nil : (ranges, TimeBox(due: moved(box.due), period: box.period))
        }
        let report = Restoration(
            ownership: differences(snapshot, actual),
            resumed: resumed.map(\.ticket.id),
            completed: completed,
            lost: lost,
            leases: snapshot.leases,
            timeBoxes: boxes.flatMap(\.ranges)
        )
        let alarm: Timestamp? = state.withLock { state in
            for (name, time) in snapshot.memory.marks { state.memory[name] = moved(time) }
            state.nextTicket = max(state.nextTicket, snapshot.nextTicket)
            for handover in resumed {
                state.add(Claim(work: handover.work, phase: .draining, handover: handover))
                if handover.work.request.target == .shared { pool?.charge(handover.work.changes.pageCount) }
            }
            state.restoration = report
            for (ranges, box) in boxes { for range in ranges { state.timeBoxes.open(range, box) } }
            return state.timeBoxes.nextAlarm()
        }
        if let alarm { setAlarm(alarm) }
        for handover in resumed {
            watch(handover)
            executor.submit { [weak self] in self?.resume(handover) }
        }
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
        let id = state.withLock { $0.claims.reserve() }
        let work = Work(id: id, request: request, range: change.range, changes: changes, terms: change.terms)
        return Handover(makeTicket(work, deadline, now, change.ticket?.rawValue ?? 0), work)
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

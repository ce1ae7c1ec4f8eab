public import Custody

// A back end that was away for a while.
extension MemoryController {
    /// Follows what has changed in the meantime: pages that nobody was changing, and those of hand-overs that the back
    /// end had not been asked for yet. Changes under way have their own ends.
    public func backendReconnected(finding ownership: PageRunMap<Ownership>) {
        let strays = state.withLock { state in
            state.lost == nil ? state.takeStrays(ownership) + adopt(ownership, &state) : []
        }
        var differences: [OwnershipDifference] = []
        var completed: [TicketID] = []
        var failed: [TicketID] = []
        for stray in strays {
            let changes = stray.changes
            var lost = Changes()
            changes.forEach { change in
                Ending.found(ownership).forEachRun(of: change) { range, found in
                    guard found != change.from else { return }
                    differences.append(OwnershipDifference(range: range, before: change.from, after: found))
                    guard change.from.allows(.host), !found.allows(.host) else { return }
                    lost.append(OwnershipChange(range: range, from: change.from, to: found, initiator: .host))
                }
            }
            let taken = lost
            drain(state.withLock { drains(of: taken, in: $0, for: nil) })
            tellListeners(stray.work, .found(ownership))
            guard let handover = stray.handover else {
                conclude(stray.work, .found(ownership))
                continue
            }
            if changes.allSatisfy({ ownership.isUniform($0.range, $0.to) }) {
                completed.append(handover.ticket.id)
                settle(handover, .completed(.unspecified), .found(ownership))
            } else {
                failed.append(handover.ticket.id)
                let text = "the pages changed hands while the back end was away"
                let error = BackendError(.disconnected, text, range: handover.ticket.range)
                settle(handover, .failed(error), .found(ownership))
            }
        }
        emit(
            .reconnected(
                Reconciliation(
                    ownership: differences.sorted { $0.range.start < $1.range.start },
                    completed: completed.sorted(),
                    failed: failed.sorted()
                )
            )
        )
        resume()
    }

    /// Claims the pages that nobody is changing and that are not as they were, run by run.
    private func adopt(_ found: PageRunMap<Ownership>, _ state: inout ControllerState) -> [Claim] {
        var claims: [Claim] = []
        for region in layout.regions {
            for run in Array(state.ownership.runs(in: region)) where run.state != .inTransit {
                for other in found.runs(in: run.range) where other.state != run.state && other.state != .inTransit {
                    let change = OwnershipChange(
                        range: other.range,
                        from: run.state,
                        to: other.state,
                        initiator: .host
                    )
                    var changes = Changes()
                    changes.append(change)
                    let request = ConversionRequest(other.range, to: other.state, by: .host("back end"))
                    let work = Work(
                        id: state.claims.reserve(),
                        request: request,
                        range: other.range,
                        changes: changes,
                        terms: PolicyTerms()
                    )
                    if other.state == .shared { pool?.charge(other.range.count) }
                    claims.append(Claim(work: work, phase: .ending, lastListener: state.lastListener))
                }
            }
        }
        for claim in claims { state.add(claim) }
        return claims
    }

    /// Has the listeners of a claim follow what has happened already.
    private func tellListeners(_ work: Work, _ ending: Ending) {
        let listeners = state.withLock { $0.listeners(of: work.id) }
        tell(listeners, work, ending)
    }
}

extension ControllerState {
    /// Takes the hand-overs that the back end has not been asked for, and whose pages are not as they were.
    fileprivate mutating func takeStrays(_ found: PageRunMap<Ownership>) -> [Claim] {
        let strays = claims.all.filter { claim in
            claim.phase == .draining && claim.changes.contains { !found.isUniform($0.range, $0.from) }
        }
        for stray in strays { begin(stray.work.id, as: .ending) }
        return strays
    }
}

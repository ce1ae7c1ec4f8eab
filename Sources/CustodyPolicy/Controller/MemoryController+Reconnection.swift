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
        var results: [(handover: Handover, result: TicketResult)] = []
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
            drain(state.withLock { drains(of: taken, in: &$0, for: nil) })
            tellListeners(stray.work, .found(ownership))
            guard let handover = stray.handover else { continue }
            if changes.allSatisfy({ ownership.isUniform($0.range, $0.to) }) {
                results.append((handover, .completed(.unspecified)))
            } else {
                let text = "the pages changed hands while the back end was away"
                let error = BackendError(.disconnected, text, range: handover.ticket.range)
                results.append((handover, .failed(error)))
            }
        }
        let step = conclude(strays.map(\.work), ownership)
        for (handover, result) in results { tell(handover, result, of: step) }
        func tickets(_ isMeant: (TicketResult) -> Bool) -> [TicketID] {
            results.filter { isMeant($0.result) }.map(\.handover.ticket.id).sorted()
        }
        emit(
            .reconnected(
                Reconciliation(
                    ownership: differences.sorted { $0.range.start < $1.range.start },
                    completed: tickets { if case .completed = $0 { true } else { false } },
                    failed: tickets { if case .completed = $0 { false } else { true } }
                )
            ),
            of: step
        )
        resume()
    }

    /// Ends claims whose pages are as the back end found them, all in one step.
    ///
    /// - Returns: the step.
    private func conclude(_ works: [Work], _ found: PageRunMap<Ownership>) -> UInt64 {
        var step: UInt64 = 0
        var late: [(Work, [ListenerPort])]
        repeat {
            late = state.withLock { state in
                let late = works.map { ($0, state.takeLateListeners(of: $0.id)) }.filter { !$0.1.isEmpty }
                guard late.isEmpty else { return late }
                for work in works { state.conclude(work, .found(found)) }
                step = self.step()
                return []
            }
            for (work, listeners) in late { tell(listeners, work, .found(found)) }
        } while !late.isEmpty
        for work in works { settle(work, .found(found)) }
        return step
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

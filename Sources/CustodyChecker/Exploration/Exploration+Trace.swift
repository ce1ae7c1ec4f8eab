import CustodyProtocols

/// Turning a finding into something to read.
extension Exploration {
    /// The way to a violation. States are representatives of those that differ by equal actors; the way is walked
    /// again from the beginning, so that every actor keeps its column.
    func counterexample(_ property: Property, _ finding: Finding, isShortest: Bool) -> Counterexample {
        var codec = codec
        var path: [UInt32] = []
        var number = finding.state
        while number != .max {
            path.append(number)
            number = table.parents[Int(number)]
        }
        var state = initial
        var entries: [Counterexample.Entry] = []
        for target in path.reversed().dropFirst() {
            for index in 0..<operations.count where !state.actors[index].isDone {
                var next = state
                let transition = step(&next, index)
                // A step that crashes leads nowhere.
                if transition.isBlocked || breaks(transition, index, state, next).isFatal { continue }
                if codec.pack(next) == table.state(target) {
                    state = next
                    entries.append(Counterexample.Entry(actor: index, transition: transition, pages: pages(next)))
                    break
                }
            }
        }
        if finding.isTransition {
            for index in 0..<operations.count where !state.actors[index].isDone {
                var next = state
                let transition = step(&next, index)
                if breaks(transition, index, state, next).contains(property) {
                    entries.append(Counterexample.Entry(actor: index, transition: transition, pages: pages(next)))
                    state = next
                    break
                }
            }
        }
        return Counterexample(
            property: property,
            isShortest: isShortest,
            configuration: configuration,
            operations: operations,
            actors: operations.enumerated().map { "\($0.offset):\($0.element.kind)" },
            entries: entries,
            start: pages(initial),
            waits: operations.indices.compactMap { index in
                guard !state.actors[index].isDone else { return nil }
                var copy = state
                let transition = step(&copy, index)
                return transition.isBlocked ? (index, transition) : nil
            },
            last: state
        )
    }

    /// What a step breaks.
    private func breaks(
        _ transition: Transition,
        _ index: Int,
        _ before: SystemState,
        _ after: SystemState
    ) -> Violations {
        var broken = Violations()
        let actor = after.actors[index]
        judge(transition, index, before.actors, before: before.world, actor: actor, after: after.world, &broken)
        return broken
    }

    /// The pages of a state, in a few words each.
    func pages(_ state: SystemState) -> String {
        (0..<codec.world.pageCount).map { offset in
            let page = state.world.page(PageOffset(offset))
            var text = DescribedState(of: PageOffset(offset), in: state.world).rawValue
            if let id = state.world.cachedFolio(at: PageOffset(offset)) {
                let folio = state.world.folio(id)
                text += " refs=\(folio.references)"
                if page.hostMappings != 0 { text += " mapped" }
                if folio.flags.contains(.guestmem) { text += " typed" }
                if folio.lockOwner != 0 { text += " locked:\(folio.lockOwner - 1)" }
            } else {
                text += " no folio"
            }
            return text
        }.joined(separator: " | ")
    }
}

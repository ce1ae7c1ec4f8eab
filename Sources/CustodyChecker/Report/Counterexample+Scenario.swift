import CustodyProtocols

/// A counterexample as a scenario file: the simulation, which runs the same machine, takes the same steps.
extension Counterexample {
    /// The scenario, as YAML for `custody run`.
    ///
    /// Throws ``ScenarioError`` where its beginning cannot be set up by steps, or its end cannot be observed.
    public func scenario() throws(ScenarioError) -> String {
        var writer = ScenarioWriter(configuration, operations)
        try writer.begin()
        let before = writer.events
        let all = entries.reduce(before) { $0.union($1.transition.events) }
            .union(waits.reduce(Events()) { $0.union($1.transition.events) })
        try checkEnd(before: before, after: all)
        writer.comment("The way to the violation.")
        var index = 0
        while index < entries.count {
            let actor = entries[index].actor
            var steps = 0
            while index < entries.count, entries[index].actor == actor, !entries[index].transition.isBlocked {
                steps += 1
                index += 1
            }
            if steps > 0 { writer.advance(actor, steps) }
            if index < entries.count, entries[index].actor == actor {
                writer.advance(actor, 1, waits: entries[index].transition.wait)
                index += 1
            }
        }
        writer.comment(property.sentence)
        for (actor, transition) in waits { writer.advance(actor, 1, waits: transition.wait) }
        if property == .answerNamesBlocker || property == .completedIsTrue { finish(&writer) }
        writer.state(of: last.world)
        writer.saw(all)
        return header + writer.text
    }

    private var header: String {
        """
        # \(property.sentence)
        # It does not hold for \(handover.name); see \(property.source)
        name: "\(handover.name): \(property.rawValue), \(configuration.name)"
        backends:
          simulation: {protocol: \(handover.name), folio: \(configuration.pagesPerFolio * 4)KiB, memory: \
        \((configuration.folios.count + configuration.spareFolios) * configuration.pagesPerFolio * 4)KiB}
        steps:

        """
    }

    /// Whoever has ended says what it was answered.
    private func finish(_ writer: inout ScenarioWriter) {
        for (index, operation) in operations.enumerated() where last.actors[index].isDone {
            guard operation.kind.isConversion else { continue }
            writer.finish(index, last.actors[index].answer(to: operation))
        }
    }

    /// Whether a scenario can tell that the property is broken.
    private func checkEnd(before: Events, after: Events) throws(ScenarioError) {
        let wanted: Events
        switch property {
        case .noHostAccessToPrivate: wanted = .hostTouchedPrivate
        case .noUnderflow: wanted = .underflow
        case .noUseAfterFree: wanted = [.usedAfterFree, .nullMapping]
        case .completesOnce: wanted = .completedOutOfTurn
        case .locksHeld: wanted = .unlocked
        case .neverSleepsInAtomic: wanted = .sleptInAtomic
        case .noStaleContents: wanted = .staleContents
        case .noWarning: wanted = .warned
        case .noFreeWhileReferenced: throw .noObservableEnd("who refers to a freed folio is not")
        case .noLivelock: throw .noObservableEnd("that no way leads on is not a matter of one way")
        case .neverPrivateWhileHostMapped, .neverPrivateWhileHeld, .faultsObeyState, .handoverNotLost,
            .noStrandedCaller,
            .noSelfDeadlock, .noDeadlock, .refusalChangesNothing, .privateStaysPrivate, .answerNamesBlocker,
            .completedIsTrue:
            // The states of the pages, who waits and what was answered tell.
            return
        }
        guard before.isDisjoint(with: wanted) else {
            throw .noObservableEnd("setting up its beginning breaks the property already")
        }
        guard !after.isDisjoint(with: wanted) else { throw .noObservableEnd("no event tells") }
    }
}

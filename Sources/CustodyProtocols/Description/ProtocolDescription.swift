/// A protocol's states, events, guards and results, observed by running its machine: nothing in it is written by hand.
///
/// Every event is carried out alone, to its end, on a page in every state and under all circumstances that matter (a
/// folio or none, mapped or not, up to two other references); equal results are gathered into one row.
public struct ProtocolDescription: Sendable {
    /// One row: what an event does to a page.
    public struct Row: Hashable, Sendable {
        /// The state before.
        public var from: DescribedState
        /// The event.
        public var event: DescribedEvent
        /// Under which circumstances.
        public var guardText: String
        /// The state after.
        public var to: DescribedState
        /// What the kernel returned.
        public var result: KernelResult
        /// What that means.
        public var outcome: Outcome
        /// What happened besides: a warning, a lock its own thread holds, a null pointer.
        public var remark: String
    }

    /// The protocol that is described.
    public let handover: HandoverProtocol
    /// What was observed, by state and event.
    public let rows: [Row]
    /// The steps that were carried out, in the order of ``Step``.
    public let steps: [Step]

    /// Describes `handover` by running it on folios of `pagesPerFolio` pages (a power of two, at most 8).
    public init(_ handover: HandoverProtocol, pagesPerFolio: Int = 1) {
        self.handover = handover
        var rows: [Row] = []
        var seen: Set<Step> = []
        let states = DescribedState.allCases.filter { state in
            switch state {
            case .all, .guest: true
            case .none: handover.rules.registration.isSeparate
            case .pending: !handover.machine.isInPlace
            }
        }
        for state in states {
            for event in DescribedEvent.allCases where Self.applies(event, in: state, handover) {
                var groups: [(row: Row, circumstances: Set<Circumstance>)] = []
                let all = Circumstance.all(in: state).filter { event.canHappen(under: $0) }
                for circumstance in all {
                    let row = Self.observe(handover, state, event, circumstance, pagesPerFolio, &seen)
                    if let index = groups.firstIndex(where: { $0.row == row }) {
                        groups[index].circumstances.insert(circumstance)
                    } else {
                        groups.append((row, [circumstance]))
                    }
                }
                for group in groups {
                    rows += Self.guardTexts(group.circumstances, among: all).map { text in
                        var row = group.row
                        row.guardText = text
                        return row
                    }
                }
            }
        }
        self.rows = rows
        steps = Step.allCases.filter(seen.contains)
    }

    /// Whether `event` is worth a row in `state`.
    static func applies(_ event: DescribedEvent, in state: DescribedState, _ handover: HandoverProtocol) -> Bool {
        switch event {
        case .register: handover.rules.registration.isSeparate && (state == .none || state == .pending)
        case .finalPut: state == .pending
        case .set, .clear, .hostFault, .punch: true
        }
    }

    /// Carries `event` out and says what happened.
    static func observe(
        _ handover: HandoverProtocol,
        _ state: DescribedState,
        _ event: DescribedEvent,
        _ circumstance: Circumstance,
        _ pagesPerFolio: Int,
        _ seen: inout Set<Step>
    ) -> Row {
        let machine = handover.machine
        var world = circumstance.world(state, pagesPerFolio: pagesPerFolio)
        var operation = event.operation
        if machine.registersWithRequest, operation.kind.isConversion { operation.count = world.pagesPerFolio }
        if event == .punch { operation.count = world.pagesPerFolio }
        var actor = machine.start(operation, in: world)
        var completer = machine.start(Operation(.completer), in: world)
        var remarks: [String] = []
        var bound = 1_000
        func note(_ transition: Transition) {
            if !transition.isBlocked { seen.insert(transition.step) }
            if transition.wait == .ownLock { remarks.append("waits for its own lock for ever") }
            if transition.events.contains(.warned) { remarks.append("WARN") }
            if transition.events.contains(.nullMapping) { remarks.append("null pointer") }
            if transition.events.contains(.underflow) { remarks.append("reference count underflow") }
            if transition.events.contains(.sleptInAtomic) { remarks.append("sleeps under a spinning lock") }
        }
        while !actor.isDone, bound > 0 {
            bound -= 1
            let transition = machine.step(&actor, operation, id: ActorID(0), in: &world)
            note(transition)
            if transition.isBlocked { break }
        }
        while handover.rules.finalPut == .queues, bound > 0 {
            bound -= 1
            let transition = machine.step(&completer, Operation(.completer), id: ActorID(1), in: &world)
            note(transition)
            if transition.isBlocked { break }
        }
        let answer = actor.answer(to: operation)
        var unique: [String] = []
        for remark in remarks where !unique.contains(remark) { unique.append(remark) }
        return Row(
            from: state,
            event: event,
            guardText: "",
            to: DescribedState(of: PageOffset(0), in: world),
            result: answer.kernel,
            outcome: answer.outcome,
            remark: unique.joined(separator: ", ")
        )
    }

    /// The shortest guards that together say `chosen`, no more and no less, of `all`.
    static func guardTexts(_ chosen: Set<Circumstance>, among all: [Circumstance]) -> [String] {
        if let whole = Circumstance.guards.first(where: { Set(all.filter($0.holds)) == chosen }) { return [whole.text] }
        for first in Circumstance.guards.indices {
            for second in Circumstance.guards.indices where second > first {
                let one = Set(all.filter(Circumstance.guards[first].holds))
                let two = Set(all.filter(Circumstance.guards[second].holds))
                if !one.isEmpty, !two.isEmpty, one.isDisjoint(with: two), one.union(two) == chosen {
                    return [Circumstance.guards[first].text, Circumstance.guards[second].text]
                }
            }
        }
        return chosen.map { "\($0)" }.sorted()
    }

    /// The rows as a table of plain text.
    public var table: String {
        let header = ["from", "event", "guard", "to", "result", "meaning", "remark"]
        let cells = rows.map {
            [
                $0.from.rawValue, $0.event.name(in: handover), $0.guardText, $0.to.rawValue, $0.result.name,
                $0.outcome.text, $0.remark,
            ]
        }
        let widths = header.indices.map { column in ([header] + cells).map { $0[column].count }.max() ?? 0 }
        func line(_ row: [String]) -> String {
            var text = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
                .joined(separator: "  ")
            while text.last == " " { text.removeLast() }
            return text
        }
        let rule = line(widths.map { String(repeating: "─", count: $0) })
        return ([line(header), rule] + cells.map(line)).joined(separator: "\n") + "\n"
    }

    /// The rows as a graph in the language of Graphviz: a node a state, with the events that leave a page there; an
    /// edge for each pair of states, with the events that take a page from one to the other.
    public var dot: String {
        var lines = [
            "digraph \"\(handover.name)\" {", "  rankdir=LR; nodesep=0.6; ranksep=1.2; fontname=\"sans-serif\";",
            "  node [shape=box, style=rounded, fontname=\"sans-serif\"];",
            "  edge [fontname=\"sans-serif\", fontsize=11];",
        ]
        let states = DescribedState.allCases.filter { state in rows.contains { $0.from == state || $0.to == state } }
        for state in states {
            let stays = rows.filter { $0.from == state && $0.to == state }.map(label)
            lines.append("  \(state.rawValue) [label=\"\(state.rawValue)\\n\\n\(stays.joined())\"];")
        }
        for from in states {
            for to in states where to != from {
                let moves = rows.filter { $0.from == from && $0.to == to }.map(label)
                if !moves.isEmpty {
                    lines.append("  \(from.rawValue) -> \(to.rawValue) [label=\"\(moves.joined())\"];")
                }
            }
        }
        return (lines + ["}"]).joined(separator: "\n") + "\n"
    }

    /// A row in one line, aligned to the left.
    private func label(_ row: Row) -> String {
        var label = "\(row.event.name(in: handover)) → \(row.result.name)"
        if row.guardText != "–" { label += "  [\(row.guardText)]" }
        if !row.remark.isEmpty { label += "  \(row.remark)" }
        return label + "\\l"
    }
}

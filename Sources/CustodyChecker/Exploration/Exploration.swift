import CustodyProtocols

/// One run of the checker on one configuration.
struct Exploration {
    /// Where a property was found not to hold.
    struct Finding {
        /// The state before the violation, or in which it is.
        var state: UInt32
        /// Whether the violation is in a transition from that state, not in the state.
        var isTransition: Bool
    }

    let configuration: Configuration
    let operations: [Operation]
    let machine: Machine
    var codec: StateCodec
    /// The steps that are taken first and alone.
    let independent: IndependentSteps
    /// Whether the ways between states are kept: to look for a state without a way out.
    let keepsEdges: Bool
    var table: StateTable
    var edges: ContiguousArray<UInt32> = []
    var firstEdge: ContiguousArray<UInt32> = []
    /// States from which nothing is explored: all is done, nothing can go on, or the kernel would have crashed.
    var ends: Set<UInt32> = []
    var findings: [Property: Finding] = [:]
    var transitions = 0
    var depth = 0

    init(_ configuration: Configuration, reduction: Bool, keepsEdges: Bool = true) {
        self.configuration = configuration
        // Equal actors stand next to each other, so that they can be exchanged.
        var grouped: [Operation] = []
        for operation in configuration.allOperations where !grouped.contains(operation) {
            grouped += configuration.allOperations.filter { $0 == operation }
        }
        operations = grouped
        machine = configuration.handover.machine
        independent = reduction ? IndependentSteps(configuration) : IndependentSteps()
        self.keepsEdges = keepsEdges
        codec = StateCodec(configuration, operations: grouped, symmetric: reduction)
        table = StateTable(stride: codec.stride)
    }

    /// When an exploration may end before everything was visited.
    enum Goal {
        /// Not before.
        case everything
        /// When each of these was found not to hold.
        case all(Set<Property>)
        /// When one of these was found not to hold.
        case any(Set<Property>)
    }

    /// Whether a state fits into its packed form.
    var fits: Bool {
        operations.count <= 8 && codec.stride <= PackedState.maximumWords
            && configuration.folios.count * configuration.pagesPerFolio <= SmallWorld.maximumPages
            && configuration.folios.count + configuration.spareFolios <= SmallWorld.maximumFolios
            && operations.allSatisfy { $0.accesses <= 3 }
    }

    /// Why a state does not fit.
    var excess: Verdict.Bound {
        operations.count > 8 ? .actors(operations.count) : .size(bits: codec.bits)
    }

    /// Memory in use, in bytes.
    var bytes: Int { table.bytes + (edges.count + firstEdge.count) * 4 }

    /// The state at the beginning.
    var initial: SystemState {
        var state = SystemState(
            world: configuration.initialWorld,
            actors: InlineArray(repeating: Actor(step: .done, remaining: 0))
        )
        for (index, operation) in operations.enumerated() {
            state.actors[index] = machine.start(operation, in: state.world)
        }
        return state
    }

    /// Takes one step of one actor.
    func step(_ state: inout SystemState, _ index: Int) -> Transition {
        step(&state.actors[index], &state.world, index)
    }

    /// Takes one step of one actor.
    @inline(__always)
    func step(_ actor: inout Actor, _ world: inout SmallWorld, _ index: Int) -> Transition {
        guard let mutation = configuration.mutation else {
            let id = ActorID(UInt8(truncatingIfNeeded: index))
            return machine.step(&actor, operations[index], id: id, in: &world)
        }
        return step(&actor, &world, index, with: mutation)
    }

    /// Takes one step of one actor, spoiled by a defect where it is the step that the defect is in.
    private func step(
        _ actor: inout Actor,
        _ world: inout SmallWorld,
        _ index: Int,
        with mutation: Mutation
    ) -> Transition {
        let id = ActorID(UInt8(truncatingIfNeeded: index))
        switch mutation {
        case .losesEffect(let step) where actor.step == step:
            // The step happens in a world of its own, where every lock is free, and that world is thrown away.
            var elsewhere = world
            elsewhere.invalidateLock = LockState()
            elsewhere.offsetsLock = LockState()
            for folio in 0..<elsewhere.folioCount { elsewhere.folios[folio].lockOwner = 0 }
            var transition = machine.step(&actor, operations[index], id: id, in: &elsewhere)
            transition.events.remove([.unlocked, .freed, .completed, .cancelled, .registered])
            return transition
        case .goesOn(let from, let to) where actor.step == from:
            var transition = machine.step(&actor, operations[index], id: id, in: &world)
            transition.wait = .none
            actor.step = to
            return transition
        case .miscounts(let after, let by) where actor.step == after:
            let folio = actor.folio
            let transition = machine.step(&actor, operations[index], id: id, in: &world)
            if !transition.isBlocked, let folio = actor.folio ?? folio {
                world.folios[Int(folio.rawValue)].references &+= by
            }
            return transition
        case .swaps(let first, let second, let then) where actor.step == first || actor.step == second:
            let own = actor.step
            let next = own == first ? second : then
            actor.step = own == first ? second : first
            let transition = machine.step(&actor, operations[index], id: id, in: &world)
            actor.step = transition.isBlocked ? own : next
            if next == .putDrop { actor.afterPut = .completerTake }
            return transition
        default:
            return machine.step(&actor, operations[index], id: id, in: &world)
        }
    }

    /// Whether everything was found that is to be found.
    func hasReached(_ goal: Goal) -> Bool {
        switch goal {
        case .everything: false
        case .all(let wanted): wanted.allSatisfy { findings[$0] != nil }
        case .any(let wanted): wanted.contains { findings[$0] != nil }
        }
    }

    /// Explores until the goal is reached, everything was visited, or `maximumStates` were. Returns whether everything
    /// was.
    mutating func run(maximumStates: Int, until goal: Goal = .everything) -> Bool {
        var known = 0
        _ = table.insert(codec.pack(initial), from: .max)
        var head = 0
        var levelEnd = 1
        while head < table.count {
            if table.count > maximumStates || codec.actors.isFull { return false }
            if findings.count != known {
                known = findings.count
                if hasReached(goal) { return false }
            }
            if head == levelEnd {
                depth += 1
                levelEnd = table.count
            }
            if keepsEdges { firstEdge.append(UInt32(truncatingIfNeeded: edges.count)) }
            let number = UInt32(truncatingIfNeeded: head)
            head += 1
            if ends.contains(number) { continue }
            expand(number)
        }
        return true
    }

    /// Takes every step that matters from one state.
    mutating func expand(_ number: UInt32) {
        let packed = table.state(number)
        let state = codec.unpack(packed)
        var isBlocked = true
        var first = 0
        var last = operations.count
        if let alone = independentActor(state) {
            first = alone
            last = alone + 1
        }
        for index in first..<last where state.actors[index].step != .done {
            var broken = Violations()
            let next = successor(of: state, packed, index, &broken)
            if !broken.isEmpty { note(broken, number, isTransition: true) }
            guard let next else { continue }
            isBlocked = false
            transitions &+= 1
            let (reached, isNew) = table.insert(next, from: number)
            if keepsEdges { edges.append(reached) }
            if isNew, broken.isFatal { ends.insert(reached) }
        }
        if isBlocked {
            ends.insert(number)
            var broken = Violations()
            judgeEnd(state, &broken)
            note(broken, number, isTransition: false)
        }
    }

    /// The state after one step of an actor, packed, with what the step breaks; nil if it waits.
    @inline(__always)
    mutating func successor(
        of state: borrowing SystemState,
        _ packed: PackedState,
        _ index: Int,
        _ broken: inout Violations
    ) -> PackedState? {
        var world = state.world
        var actor = state.actors.span[index]
        let transition = step(&actor, &world, index)
        judge(transition, index, before: state, actor: actor, world: world, &broken)
        if transition.isBlocked { return nil }
        if let next = codec.pack(packed, index, actor, world) { return next }
        var next = copy state
        next.world = world
        next.actors[index] = actor
        return codec.pack(&next)
    }

    /// An actor whose next step commutes with everything that the others can do before it.
    @inline(__always)
    func independentActor(_ state: borrowing SystemState) -> Int? {
        let actors = state.actors.span
        for index in 0..<operations.count where independent.contains(actors[index].step) { return index }
        return nil
    }

    /// The worlds of the states from which nothing is explored, packed, without their actors.
    var endWorlds: Set<PackedState> {
        Set(ends.map { codec.pack(codec.unpack(table.state($0)).world) })
    }

    /// The violation that was found first.
    var firstFinding: (Property, Finding)? {
        findings.min { ($0.value.state, $0.key.bit) < ($1.value.state, $1.key.bit) }.map { ($0.key, $0.value) }
    }

    /// Remembers the first violation of each property.
    mutating func note(_ broken: Violations, _ number: UInt32, isTransition: Bool) {
        for property in broken.properties where findings[property] == nil {
            findings[property] = Finding(state: number, isTransition: isTransition)
        }
    }

    /// Looks for a state from which the end cannot be reached although somebody can always go on.
    mutating func findLivelock() {
        let count = table.count
        var canEnd = ContiguousArray<Bool>(repeating: false, count: count)
        for end in ends { canEnd[Int(end)] = true }
        var hasChanged = true
        while hasChanged {
            hasChanged = false
            for state in stride(from: count - 1, through: 0, by: -1) where !canEnd[state] {
                let from = Int(firstEdge[state])
                let to = state + 1 < count ? Int(firstEdge[state + 1]) : edges.count
                if edges[from..<to].contains(where: { canEnd[Int($0)] }) {
                    canEnd[state] = true
                    hasChanged = true
                }
            }
        }
        if let first = canEnd.firstIndex(of: false) {
            findings[.noLivelock] = Finding(state: UInt32(first), isTransition: false)
        }
    }
}

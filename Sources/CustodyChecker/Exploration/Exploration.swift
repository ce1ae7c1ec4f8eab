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

    /// What is left out.
    enum Reduction {
        /// Nothing.
        case none
        /// Of states that differ only in which of several equal actors is where, all but one. Ways keep their length.
        case equalActors
        /// Also orders of steps that cannot matter. Ways may become longer than they need be.
        case equalActorsAndOrders
    }

    /// A state from which one actor alone was let go on.
    struct Decision {
        var state: UInt32
        var actor: UInt8
        /// Which of the ways of its step it was.
        var way: UInt16
    }

    let configuration: Configuration
    let operations: [Operation]
    let machine: Machine
    var codec: StateCodec
    /// What steps were seen to touch, where orders are left out.
    var footprints: Footprints?
    /// Where orders were left out.
    var decisions: ContiguousArray<Decision> = []
    /// Whether the ways between states are kept: to look for a state without a way out.
    let keepsEdges: Bool
    var table: StateTable
    var edges: ContiguousArray<(from: UInt32, to: UInt32)> = []
    /// States from which nothing follows: all is done, or nothing can go on.
    var ends: Set<UInt32> = []
    /// States in which some step would crash the kernel or corrupt memory: what follows that step means nothing, and is
    /// not explored.
    var crashes: Set<UInt32> = []
    var findings: [Property: Finding] = [:]
    var transitions = 0
    /// How many states were expanded.
    private var head = 0
    private let log = AccessLog()
    /// What the records leave out on purpose.
    var blindTo = Blindness.nothing

    init(_ configuration: Configuration, reduction: Reduction, keepsEdges: Bool = true) {
        self.configuration = configuration
        // Equal actors stand next to each other, so that they can be exchanged.
        var grouped: [Operation] = []
        for operation in configuration.allOperations where !grouped.contains(operation) {
            grouped += configuration.allOperations.filter { $0 == operation }
        }
        operations = grouped
        machine = configuration.handover.machine
        footprints = reduction == .equalActorsAndOrders ? Footprints(operations: grouped.count) : nil
        self.keepsEdges = keepsEdges
        codec = StateCodec(configuration, operations: grouped, symmetric: reduction != .none)
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
    var bytes: Int { table.bytes + edges.count * 8 + decisions.count * MemoryLayout<Decision>.stride }

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
    func step<World: ExploredWorld>(_ actor: inout Actor, _ world: inout World, _ index: Int) -> Transition {
        guard let mutation = configuration.mutation else {
            let id = ActorID(UInt8(truncatingIfNeeded: index))
            return machine.step(&actor, operations[index], id: id, in: &world)
        }
        return step(&actor, &world, index, with: mutation)
    }

    /// Takes one step of one actor, spoiled by a defect where it is the step that the defect is in.
    private func step<World: ExploredWorld>(
        _ actor: inout Actor,
        _ world: inout World,
        _ index: Int,
        with mutation: Mutation
    ) -> Transition {
        let id = ActorID(UInt8(truncatingIfNeeded: index))
        switch mutation {
        case .losesEffect(let step) where actor.step == step:
            // The step happens in a world of its own, where every lock is free, and that world is thrown away.
            var elsewhere = world
            elsewhere.small.invalidateLock = LockState()
            elsewhere.small.offsetsLock = LockState()
            for folio in 0..<elsewhere.small.folioCount { elsewhere.small.folios[folio].lockOwner = 0 }
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
                var state = world.folio(folio)
                state.references &+= by
                world.setFolio(folio, to: state)
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
        _ = table.insert(codec.pack(initial), from: .max)
        repeat {
            guard visit(maximumStates, goal) else { return false }
        } while reconsider(maximumStates)
        return table.count <= maximumStates && !codec.actors.isFull
    }

    /// Expands what was reached and not yet expanded. Returns whether it came to the end of that.
    private mutating func visit(_ maximumStates: Int, _ goal: Goal) -> Bool {
        var known = 0
        var levelEnd = table.count
        while head < table.count {
            if table.count > maximumStates || codec.actors.isFull { return false }
            let beginsLevel = head == levelEnd
            if beginsLevel { levelEnd = table.count }
            // Breadth first, the rest of a level can still show a shorter way than the one that was found.
            if findings.count != known, footprints != nil || beginsLevel {
                known = findings.count
                if hasReached(goal) { return false }
            }
            let number = UInt32(truncatingIfNeeded: head)
            head += 1
            expand(number)
        }
        return true
    }

    /// Looks again at every state from which one actor alone was let go on: does that stand, knowing what was seen
    /// since? Where it does not, the others are let go on as well. Returns whether there is more to visit or to
    /// reconsider.
    private mutating func reconsider(_ maximumStates: Int) -> Bool {
        guard footprints?.hasLearned == true else { return false }
        footprints?.conclude()
        let old = decisions
        decisions = []
        for decision in old {
            let packed = table.state(decision.state)
            let state = codec.unpack(packed)
            let actor = Int(decision.actor)
            let number = codec.number(of: actor, in: packed)
            let way = footprints?.behaviour(firstEqual[actor], number, Int(decision.way))
            if let way, isIndependent(way.accesses, actor, state, packed) {
                decisions.append(decision)
            } else {
                if table.count > maximumStates { return true }
                expand(decision.state, apartFrom: actor)
            }
        }
        return head < table.count || footprints?.hasLearned == true
    }

    /// Takes every step that matters from one state; of an actor that was let go on alone before, none.
    private mutating func expand(_ number: UInt32, apartFrom done: Int? = nil) {
        let packed = table.state(number)
        let state = codec.unpack(packed)
        var isBlocked = done == nil
        var successors = InlineArray<8, PackedState?>(repeating: nil)
        for index in 0..<operations.count where state.actors[index].step != .done && index != done {
            var broken = Violations()
            var way: Int?
            let next = successor(of: state, packed, index, &broken, &way)
            if !broken.isEmpty { note(broken, number, isTransition: true) }
            guard let next else { continue }
            isBlocked = false
            if broken.isFatal {
                crashes.insert(number)
                continue
            }
            if done == nil, let way, broken.isEmpty, isTakenAlone(next, way, index, number, state, packed) { return }
            successors[index] = next
        }
        for index in 0..<operations.count { if let next = successors[index] { reach(next, from: number) } }
        if isBlocked {
            ends.insert(number)
            var broken = Violations()
            judgeEnd(state, &broken)
            note(broken, number, isTransition: false)
        }
    }

    @discardableResult
    private mutating func reach(_ next: PackedState, from number: UInt32) -> UInt32 {
        transitions &+= 1
        let reached = table.insert(next, from: number).number
        if keepsEdges { edges.append((number, reached)) }
        return reached
    }

    /// Takes a step alone if its order among the steps of the others cannot matter, and if it leads to a state that was
    /// not expanded yet: so no circle consists of such steps, and nobody is put off for ever.
    private mutating func isTakenAlone(
        _ next: PackedState,
        _ way: Int,
        _ index: Int,
        _ number: UInt32,
        _ state: borrowing SystemState,
        _ packed: PackedState
    ) -> Bool {
        let registers = codec.number(of: index, in: packed)
        guard way <= Int(UInt16.max), let seen = footprints?.behaviour(firstEqual[index], registers, way),
            isIndependent(seen.accesses, index, state, packed)
        else { return false }
        if let known = table.number(next), known < head { return false }
        reach(next, from: number)
        decisions.append(Decision(state: number, actor: UInt8(index), way: UInt16(way)))
        return true
    }

    /// Whether a step conflicts with nothing that another actor can do while this one stays where it is.
    private mutating func isIndependent(
        _ accesses: Accesses,
        _ index: Int,
        _ state: borrowing SystemState,
        _ packed: PackedState
    ) -> Bool {
        let held = state.world.holds(of: ActorID(UInt8(truncatingIfNeeded: index)))
        for other in 0..<operations.count where other != index {
            if state.actors[other].isDone { continue }
            let number = codec.number(of: other, in: packed)
            let operation = codec.firstEqual[other]
            guard let future = footprints?.future(operation, number, while: held) else { return false }
            if blindTo != .futures, accesses.conflicts(with: future) { return false }
        }
        return true
    }

    private var firstEqual: [Int] { codec.firstEqual }

    /// The state after one step of an actor, packed, with what the step breaks; nil if it waits. With footprints, also
    /// which of its ways the step went.
    @inline(__always)
    private mutating func successor(
        of state: borrowing SystemState,
        _ packed: PackedState,
        _ index: Int,
        _ broken: inout Violations,
        _ way: inout Int?
    ) -> PackedState? {
        var actor = state.actors.span[index]
        var after = state.world
        let transition: Transition
        if footprints == nil {
            transition = step(&actor, &after, index)
            judge(transition, index, state.actors, before: state.world, actor: actor, after: after, &broken)
        } else {
            log.accesses = Accesses()
            var world = RecordedWorld(state.world, log)
            let before = world
            transition = step(&actor, &world, index)
            judge(transition, index, state.actors, before: before, actor: actor, after: world, &broken)
            after = world.small
            way = learn(transition, index, state, packed, actor, broken)
        }
        if transition.isBlocked { return nil }
        if let next = codec.pack(packed, index, actor, after) { return next }
        var next = copy state
        next.world = after
        next.actors[index] = actor
        return codec.pack(&next)
    }

    /// What counts as touched by a step: what its world noted, and the holds of the actor that changed with its registers.
    func seen(_ noted: Accesses, _ transition: Transition, from before: Actor, to after: Actor) -> Accesses {
        var seen = noted
        if before.referencedFolio != after.referencedFolio { seen.writes |= Accesses.hold(.references) }
        if before.touchedFolio != after.touchedFolio { seen.writes |= Accesses.hold(.touch) }
        if transition.isBlocked { seen.writes = 0 }
        return seen
    }

    /// Remembers what a step was seen to touch. Returns which of its ways it went.
    private mutating func learn(
        _ transition: Transition,
        _ index: Int,
        _ state: borrowing SystemState,
        _ packed: PackedState,
        _ after: Actor,
        _ broken: Violations
    ) -> Int? {
        let before = state.actors[index]
        let number = codec.number(of: index, in: packed)
        var seen = seen(log.accesses, transition, from: before, to: after)
        let operation = firstEqual[index]
        if blindTo != .nothing { seen.overlook(blindTo) }
        guard !transition.isBlocked else {
            learnAttempt(transition, seen, operation, number)
            return nil
        }
        let next = UInt32(truncatingIfNeeded: codec.number(of: after, at: index))
        if let known = footprints?.find(seen, operation, number, next: next) { return known }
        var excludedBy: UInt128 = 0
        var locks = seen.reads & Accesses.locks
        while locks != 0 {
            let lock = locks & (~locks &+ 1)
            locks &= ~lock
            if waits(index, state, without: lock, broken) { excludedBy |= lock }
        }
        let behaviour = Footprints.Behaviour(accesses: seen, excludedBy: excludedBy, next: next)
        return footprints?.learn(behaviour, operation, number)
    }

    /// Remembers what an attempt that waits was seen to read. The lock that it waits for is one of those things, but not
    /// while another holds that lock: it waits then in any case, and breaks nothing that it does not break when it is free.
    private mutating func learnAttempt(
        _ transition: Transition,
        _ seen: Accesses,
        _ operation: Int,
        _ number: UInt32
    ) {
        let locks = transition.wait.isLock ? seen.reads & Accesses.locks : 0
        for (reads, excludedBy) in [(seen.reads & ~locks, 0), (locks, locks)] where reads != 0 {
            let accesses = Accesses(reads: reads, writes: 0)
            if footprints?.find(accesses, operation, number, next: number) != nil { continue }
            let behaviour = Footprints.Behaviour(accesses: accesses, excludedBy: excludedBy, next: number)
            _ = footprints?.learn(behaviour, operation, number)
        }
    }

    /// Whether the actor would wait, and break nothing but what it breaks anyway, if somebody else held a lock.
    private func waits(
        _ index: Int,
        _ state: borrowing SystemState,
        without lock: UInt128,
        _ broken: Violations
    ) -> Bool {
        let before = state.world.held(lock, by: ActorID(63))
        var (after, actor) = (before, state.actors[index])
        var brokenThen = Violations()
        let transition = step(&actor, &after, index)
        judge(transition, index, state.actors, before: before, actor: actor, after: after, &brokenThen)
        return transition.wait.isLock && brokenThen.isSubset(of: broken)
    }

    /// The worlds of the states from which nothing follows, packed, without their actors.
    var endWorlds: Set<PackedState> {
        Set(ends.map { codec.pack(codec.unpack(table.state($0)).world) })
    }

    /// Steps from the beginning to the farthest state, on the ways on which the states were reached first.
    var depth: Int {
        var depths = ContiguousArray<UInt32>()
        depths.reserveCapacity(table.count)
        for parent in table.parents { depths.append(parent == .max ? 0 : depths[Int(parent)] &+ 1) }
        return Int(depths.max() ?? 0)
    }

    /// How many steps a violation takes.
    func length(_ finding: Finding) -> Int {
        var length = finding.isTransition ? 1 : 0
        var number = finding.state
        while table.parents[Int(number)] != .max {
            number = table.parents[Int(number)]
            length += 1
        }
        return length
    }

    /// The violation that was found first.
    var firstFinding: (Property, Finding)? {
        findings.min { ($0.value.state, $0.key.bit) < ($1.value.state, $1.key.bit) }.map { ($0.key, $0.value) }
    }

    /// Remembers the shortest violation of each property.
    private mutating func note(_ broken: Violations, _ number: UInt32, isTransition: Bool) {
        for property in broken.properties {
            let finding = Finding(state: number, isTransition: isTransition)
            if let known = findings[property] {
                // Of the same level, a state is a step nearer than a transition from one.
                guard known.isTransition, !isTransition, length(finding) < length(known) else { continue }
            }
            findings[property] = finding
        }
    }

    /// Looks for a state from which the end cannot be reached although somebody can always go on. O(ways).
    mutating func findLivelock() {
        var canEnd = ContiguousArray<Bool>(repeating: false, count: table.count)
        var open = ContiguousArray(ends.union(crashes))
        for end in open { canEnd[Int(end)] = true }
        // The ways, by where they lead to.
        var first = ContiguousArray<Int>(repeating: 0, count: table.count + 1)
        for edge in edges { first[Int(edge.to) + 1] += 1 }
        for state in 0..<table.count { first[state + 1] += first[state] }
        var sources = ContiguousArray<UInt32>(repeating: 0, count: edges.count)
        var filled = first
        for edge in edges {
            sources[filled[Int(edge.to)]] = edge.from
            filled[Int(edge.to)] += 1
        }
        while let state = open.popLast() {
            for source in sources[first[Int(state)]..<first[Int(state) + 1]] where !canEnd[Int(source)] {
                canEnd[Int(source)] = true
                open.append(source)
            }
        }
        if let trapped = canEnd.firstIndex(of: false) {
            findings[.noLivelock] = Finding(state: UInt32(trapped), isTransition: false)
        }
    }
}

extension Wait {
    /// Whether it is a lock that somebody else holds.
    var isLock: Bool { self == .invalidateLock || self == .offsetsLock || self == .folioLock }
}

import CustodyProtocols

/// One file, the step machine of a protocol, and everybody at work on it.
///
/// A value without a clock: the same calls make the same steps.
struct SimulatedKernel: Sendable {
    private(set) var world: SparseWorld
    let machine: Machine
    var schedule: Schedule
    /// How many steps have been made.
    private(set) var stepCount: UInt64 = 0
    /// Everything out of the ordinary that has happened.
    private(set) var events: Events = []
    private var processes: [UInt8: Process] = [:]
    private var completer: (operation: Operation, actor: Actor)?

    private static let caller = ActorID(0)
    private static let completerID = ActorID(63)

    init(_ handover: HandoverProtocol, _ world: SparseWorld, _ schedule: Schedule) {
        machine = handover.machine
        self.world = world
        self.schedule = schedule
        if handover.rules.finalPut == .queues {
            let operation = Operation(.completer)
            completer = (operation, machine.start(operation, in: world))
        }
    }

    // MARK: Calls

    /// Makes a call and returns its answer. The others go on when it waits, or when the schedule says so.
    mutating func call(_ operation: Operation) -> DrivenResult {
        var actor = machine.start(operation, in: world)
        while !actor.isDone {
            let others = running
            let choice = schedule.next(others.count + 1)
            if choice > 0, advance(others[choice - 1]) { continue }
            let wait = step(&actor, operation, SimulatedKernel.caller)
            guard wait != .none else { continue }
            guard others.contains(where: { advance($0) }) || advanceCompleter() else {
                return DrivenResult(answer: actor.answer(to: operation), stuck: wait)
            }
        }
        return DrivenResult(answer: actor.answer(to: operation))
    }

    /// Completes the hand-overs whose last reference is gone, as the worker of the protocol does.
    mutating func complete() {
        while advanceCompleter() {}
    }

    /// Whether the worker has something to do.
    var hasWork: Bool { world.queuedFolio() != nil }

    // MARK: Processes

    /// Starts a process; `false` where the name is taken or there are too many.
    mutating func begin(_ name: String, _ operation: Operation, isStopped: Bool) -> Bool {
        guard !processes.values.contains(where: { $0.name == name }),
            let id = (1..<SimulatedKernel.completerID.rawValue).first(where: { processes[$0] == nil })
        else { return false }
        if operation.kind == .hold, world.addReference(operation.start) == nil { return false }
        let actor = machine.start(operation, in: world)
        processes[id] = Process(name: name, operation: operation, actor: actor, isStopped: isStopped)
        return true
    }

    /// Makes so many steps of a process; it is left where it then is.
    ///
    /// - Returns: what it waits for, or `nil` where there is no such process.
    mutating func advance(_ name: String, steps: Int) -> Wait? {
        guard let id = id(of: name) else { return nil }
        for _ in 0..<steps {
            guard var process = processes[id], !process.actor.isDone else { return Wait.none }
            let wait = step(&process.actor, process.operation, ActorID(id))
            process.isStopped = true
            processes[id] = process
            if wait != .none { return wait }
        }
        return Wait.none
    }

    /// Lets a process go on to its end, and takes it away.
    ///
    /// - Returns: its answer, or `nil` where there is no such process.
    mutating func finish(_ name: String) -> DrivenResult? {
        guard let id = id(of: name) else { return nil }
        while let process = processes[id], !process.actor.isDone {
            if advance(id) { continue }
            guard running.contains(where: { $0 != id && advance($0) }) || advanceCompleter() else {
                var actor = process.actor
                let wait = step(&actor, process.operation, ActorID(id))
                return DrivenResult(answer: process.actor.answer(to: process.operation), stuck: wait)
            }
        }
        guard let process = processes.removeValue(forKey: id) else { return nil }
        return DrivenResult(answer: process.actor.answer(to: process.operation))
    }

    /// The processes that hold a reference on the folio of a page, or will when they go on.
    func holders(of page: PageOffset) -> [String] {
        guard let folio = world.cachedFolio(at: page) else { return [] }
        return processes.sorted { $0.key < $1.key }.compactMap { _, process in
            process.actor.folio == folio && process.actor.references > 0 ? process.name : nil
        }
    }

    /// The folio that a process holds a reference on.
    func folio(of name: String) -> FolioID? {
        guard let id = id(of: name), let process = processes[id], process.actor.references > 0 else { return nil }
        return process.actor.folio
    }

    private func id(of name: String) -> UInt8? { processes.first { $0.value.name == name }?.key }

    /// The processes that go on by themselves, in their order.
    private var running: [UInt8] {
        processes.isEmpty ? [] : processes.filter { !$0.value.isStopped && !$0.value.actor.isDone }.keys.sorted()
    }

    // MARK: Steps

    /// Makes one step of a process; `false` where it waits or has ended.
    private mutating func advance(_ id: UInt8) -> Bool {
        guard var process = processes[id], !process.actor.isDone else { return false }
        let wait = step(&process.actor, process.operation, ActorID(id))
        processes[id] = process
        return wait == .none
    }

    private mutating func advanceCompleter() -> Bool {
        guard let (operation, start) = completer else { return false }
        var actor = start
        completer = nil
        let wait = step(&actor, operation, SimulatedKernel.completerID)
        completer = (operation, actor)
        return wait == .none
    }

    private mutating func step(_ actor: inout Actor, _ operation: Operation, _ id: ActorID) -> Wait {
        let transition = machine.step(&actor, operation, id: id, in: &world)
        events.formUnion(transition.events)
        if !transition.isBlocked { stepCount &+= 1 }
        return transition.wait
    }

    // MARK: The world

    /// Changes what is not a matter of the protocol: bytes, limits, what the guest maps.
    mutating func withWorld<Value>(_ body: (inout SparseWorld) -> Value) -> Value { body(&world) }
}

import CustodyProtocols

/// Writes the steps of a scenario file, and takes those of the beginning itself to see that they lead there.
struct ScenarioWriter {
    private(set) var text = ""
    /// What happened while the beginning was set up.
    private(set) var events: Events = []

    private let configuration: Configuration
    private let operations: [Operation]
    private let machine: Machine
    private var world: SmallWorld

    init(_ configuration: Configuration, _ operations: [Operation]) {
        self.configuration = configuration
        self.operations = operations
        machine = configuration.handover.machine
        world = SmallWorld(
            pages: configuration.folios.count * configuration.pagesPerFolio,
            pagesPerFolio: configuration.pagesPerFolio,
            folios: configuration.folios.count + configuration.spareFolios
        )
    }

    // MARK: The beginning

    /// Writes the steps that lead to the beginning of the configuration, and begins every actor.
    mutating func begin() throws(ScenarioError) {
        guard configuration.mutation == nil else { throw .noWayToBeginning("the simulation knows no planted defects") }
        guard !operations.contains(where: { $0.kind == .completer }) else {
            throw .noWayToBeginning("the simulation's completer cannot be led step by step")
        }
        comment("The beginning.")
        let size = UInt64(configuration.pagesPerFolio)
        for (place, folio) in configuration.folios.enumerated() where folio != .absent {
            let first = PageOffset(UInt64(place) * size)
            try populate(first, maps: folio == .mapped)
            if folio == .ownedByGuest {
                try call(Operation(.convertToPrivate, start: first, count: size, behavior: .leaves))
            }
        }
        for (index, operation) in operations.enumerated() where operation.kind == .hold {
            start(index)
            world.addReference(operation.start)
        }
        for (place, folio) in configuration.folios.enumerated() where folio == .pending {
            let first = PageOffset(UInt64(place) * size)
            try call(Operation(.convertToPrivate, start: first, count: size, behavior: .leaves))
        }
        guard isAtBeginning else { throw .noWayToBeginning("the steps lead elsewhere") }
        saw(events)
        for (index, operation) in operations.enumerated() where operation.kind != .hold { start(index) }
    }

    /// Gives a folio its memory: by a host fault, whose mapping goes again where it is not wanted.
    private mutating func populate(_ first: PageOffset, maps: Bool) throws(ScenarioError) {
        let size = UInt64(configuration.pagesPerFolio)
        for page in first.rawValue..<(first.rawValue + (maps ? size : 1)) {
            try call(Operation(.hostAccess, start: PageOffset(page), writes: false))
        }
        if !maps { try call(Operation(.hostUnmap, start: first)) }
    }

    /// Takes all steps of an operation, and writes it as a call.
    private mutating func call(_ operation: Operation) throws(ScenarioError) {
        var actor = machine.start(operation, in: world)
        var steps = 0
        while !actor.isDone {
            let transition = machine.step(&actor, operation, id: ActorID(0), in: &world)
            events.formUnion(transition.events)
            steps += 1
            guard !transition.isBlocked, steps < 1000 else {
                throw .noWayToBeginning("\(operation.kind) waits for \(transition.wait.text)")
            }
        }
        line("{kernel: \(word(operation.kind)), \(options(operation)), expect: \"\(actor.result.name)\"}")
    }

    /// Whether the steps led to what the checker begins with, in all that the actors can see.
    private var isAtBeginning: Bool {
        let wanted = configuration.initialWorld
        for page in 0..<wanted.pageCount {
            let offset = PageOffset(page)
            let (one, two) = (world.page(offset), wanted.page(offset))
            guard one.mappability == two.mappability, one.hostMappings == two.hostMappings else { return false }
            guard world.cachedFolio(at: offset).map(world.folio) == wanted.cachedFolio(at: offset).map(wanted.folio)
            else { return false }
        }
        return world.hasInode && world.invalidationsInProgress == 0
    }

    // MARK: Steps

    mutating func comment(_ comment: String) { text += "  # \(comment)\n" }

    mutating func line(_ step: String) { text += "  - \(step)\n" }

    /// Begins an actor and leaves it before its first step.
    private mutating func start(_ index: Int) {
        let operation = operations[index]
        line("{kernel: \(word(operation.kind)), \(options(operation)), as: \(name(index)), steps: 0}")
    }

    mutating func advance(_ index: Int, _ steps: Int, waits: Wait = .none) {
        let waits = waits == .none ? "" : ", waits: \(word(waits))"
        line("{process: \(name(index)), steps: \(steps)\(waits)}")
    }

    mutating func finish(_ index: Int, _ answer: Answer) {
        var means = ""
        if answer.outcome != .none {
            let words: [Outcome: String] = [.blockedByReferences: "blocked-by-reference"]
            means = ", means: \(words[answer.outcome] ?? word(answer.outcome))"
        }
        line("{process: \(name(index)), expect: \"\(answer.kernel.name)\"\(means)}")
    }

    /// What the kernel has for every page.
    mutating func state(of world: SmallWorld) {
        for page in 0..<world.pageCount {
            let offset = PageOffset(page)
            var line = "{state: \(world.page(offset).mappability), at: \(address(offset))"
            if let id = world.cachedFolio(at: offset) {
                let folio = world.folio(id)
                line += ", registered: \(folio.flags.contains(.guestmem)), references: \(folio.references)"
                line += ", mappings: \(folio.mappings)"
            }
            self.line(line + "}")
        }
    }

    /// What has happened so far of all that never should.
    mutating func saw(_ events: Events) {
        let words: KeyValuePairs<String, Events> = [
            "host-touched-private": .hostTouchedPrivate, "underflow": .underflow, "use-after-free": .usedAfterFree,
            "null-mapping": .nullMapping, "warning": .warned, "slept-in-atomic": .sleptInAtomic,
            "unlocked": .unlocked, "completed-out-of-turn": .completedOutOfTurn, "stale-contents": .staleContents,
        ]
        let seen = words.filter { !events.isDisjoint(with: $0.value) }.map(\.key)
        line("{saw: [\(seen.joined(separator: ", "))]}")
    }

    // MARK: Words

    private func name(_ index: Int) -> String { "\(word(operations[index].kind))-\(index)" }

    private func address(_ page: PageOffset) -> String { "\(2048 + page.rawValue * 4)KiB" }

    private func options(_ operation: Operation) -> String {
        var words = ["at: \(address(operation.start))"]
        if operation.count > 1 { words.append("size: \(operation.count * 4)KiB") }
        if operation.accesses != 1 { words.append("accesses: \(operation.accesses)") }
        if operation.writes, operation.kind.touches { words.append("writes: true") }
        if operation.context == .atomic { words.append("atomic: true") }
        if operation.addressSpace != 0 { words.append("space: \(operation.addressSpace)") }
        if operation.behavior != .leaves, operation.kind.isConversion {
            words.append("caller: \(word(operation.behavior))")
        }
        return words.joined(separator: ", ")
    }

    /// The name of a case as scenario files write it: words joined by hyphens.
    private func word(_ value: some Sendable) -> String {
        String(describing: value).map { $0.isUppercase ? "-\($0.lowercased())" : "\($0)" }.joined()
    }
}

extension CustodyProtocols.Operation.Kind {
    /// Whether an operation of this kind touches memory.
    fileprivate var touches: Bool {
        switch self {
        case .hostAccess, .pin, .hold, .guestAccess: true
        default: false
        }
    }
}

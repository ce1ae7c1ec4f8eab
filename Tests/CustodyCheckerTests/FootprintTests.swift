@testable import CustodyChecker
import CustodyProtocols
import Testing

/// What is recorded of a step is all that it reads and writes: every field that is not in the record is changed, in every
/// state that is visited, and nothing may come of it.
@Suite struct FootprintTests {
    /// A field, and ways to change it.
    struct Field {
        var bit: UInt128
        var isHold: Bool
        var changes: [(inout SmallWorld) -> Void]
    }

    static let stranger = ActorID(63)

    /// The fields of a world.
    static func fields(of world: SmallWorld) -> [Field] {
        var fields: [Field] = []
        for index in 0..<Int(world.pageCount) {
            let page = PageOffset(UInt64(index))
            fields.append(
                Field(
                    bit: Accesses.page(page, .mappability),
                    isHold: false,
                    changes: Mappability.allCases.map { value in { $0.pages[index].mappability = value } }
                )
            )
            fields.append(
                Field(
                    bit: Accesses.page(page, .isGuestMapped),
                    isHold: false,
                    changes: [{ $0.pages[index].isGuestMapped.toggle() }]
                )
            )
            fields.append(
                Field(
                    bit: Accesses.page(page, .hostMappings),
                    isHold: false,
                    changes: (0..<4).map { value in { $0.pages[index].hostMappings = UInt8(value) } }
                )
            )
        }
        for place in 0..<Int(world.pageCount / world.pagesPerFolio) {
            fields.append(
                Field(
                    bit: Accesses.place(place),
                    isHold: false,
                    changes: (0...world.folioCount).map { value in { $0.cache[place] = UInt8(value) } }
                )
            )
        }
        for index in 0..<world.folioCount {
            let id = FolioID(UInt32(index))
            let counts: [Int32] = [-1, 0, 1, 2, 3, 4]
            fields.append(
                Field(
                    bit: Accesses.folio(id, .references),
                    isHold: false,
                    changes: counts.map { value in { $0.folios[index].references = value } }
                )
            )
            fields.append(
                Field(
                    bit: Accesses.folio(id, .mappings),
                    isHold: false,
                    changes: (0..<3).map { value in { $0.folios[index].mappings = UInt16(value) } }
                )
            )
            fields.append(
                Field(
                    bit: Accesses.folio(id, .index),
                    isHold: false,
                    changes: (0..<Int(world.pageCount)).map { value in
                        { $0.folios[index].index = PageOffset(UInt64(value)) }
                    }
                )
            )
            for flag in 0..<6 {
                let bit = FolioState.Flags(rawValue: 1 << UInt8(flag))
                fields.append(
                    Field(
                        bit: Accesses.folio(id, bit),
                        isHold: false,
                        changes: [{ $0.folios[index].flags.formSymmetricDifference(bit) }]
                    )
                )
            }
            fields.append(
                Field(
                    bit: Accesses.hold(.folioLock, folio: id),
                    isHold: true,
                    changes: [{ if $0.folios[index].lockOwner == 0 { $0.folios[index].lockOwner = stranger.owner } }]
                )
            )
        }
        fields.append(
            Field(
                bit: Accesses.file(.invalidateSequence),
                isHold: false,
                changes: [{ $0.invalidateSequence &+= 1 }]
            )
        )
        fields.append(
            Field(
                bit: Accesses.file(.invalidationsInProgress),
                isHold: false,
                changes: [{ $0.invalidationsInProgress &+= 1 }]
            )
        )
        fields.append(Field(bit: Accesses.file(.hasInode), isHold: false, changes: [{ $0.hasInode.toggle() }]))
        let locks: [(Accesses.Hold, (inout SmallWorld) -> Void)] = [
            (.invalidateWriter, { if $0.invalidateLock.writer == 0 { $0.invalidateLock.writer = stranger.owner } }),
            (.invalidateReader, { $0.invalidateLock.readers |= stranger.bit }),
            (.offsetsWriter, { if $0.offsetsLock.writer == 0 { $0.offsetsLock.writer = stranger.owner } }),
            (.offsetsReader, { $0.offsetsLock.readers |= stranger.bit }),
        ]
        for (hold, change) in locks { fields.append(Field(bit: Accesses.hold(hold), isHold: true, changes: [change])) }
        return fields
    }

    /// The fields in which two worlds differ.
    static func difference(_ one: SmallWorld, _ two: SmallWorld, of actor: ActorID) -> UInt128 {
        var changed: UInt128 = one.holds(of: actor) ^ two.holds(of: actor)
        for index in 0..<Int(one.pageCount) {
            let page = PageOffset(UInt64(index))
            let (old, new) = (one.pages[index], two.pages[index])
            if old.mappability != new.mappability { changed |= Accesses.page(page, .mappability) }
            if old.isGuestMapped != new.isGuestMapped { changed |= Accesses.page(page, .isGuestMapped) }
            if old.hostMappings != new.hostMappings { changed |= Accesses.page(page, .hostMappings) }
        }
        for place in 0..<8 where one.cache[place] != two.cache[place] { changed |= Accesses.place(place) }
        for index in 0..<one.folioCount {
            let id = FolioID(UInt32(index))
            let (old, new) = (one.folios[index], two.folios[index])
            if old.references != new.references { changed |= Accesses.folio(id, .references) }
            if old.mappings != new.mappings { changed |= Accesses.folio(id, .mappings) }
            if old.index != new.index { changed |= Accesses.folio(id, .index) }
            changed |= Accesses.folio(id, old.flags.symmetricDifference(new.flags))
        }
        if one.invalidateSequence != two.invalidateSequence { changed |= Accesses.file(.invalidateSequence) }
        if one.invalidationsInProgress != two.invalidationsInProgress {
            changed |= Accesses.file(.invalidationsInProgress)
        }
        if one.hasInode != two.hasInode { changed |= Accesses.file(.hasInode) }
        return changed
    }

    /// What one step does, plainly.
    struct Result {
        var transition: Transition
        var actor: Actor
        var world: SmallWorld
        var broken: Violations
    }

    static func take(_ state: SystemState, _ world: SmallWorld, _ index: Int, _ exploration: Exploration) -> Result {
        var (actor, after) = (state.actors[index], world)
        let transition = exploration.step(&actor, &after, index)
        var broken = Violations()
        exploration.judge(transition, index, state.actors, before: world, actor: actor, after: after, &broken)
        return Result(transition: transition, actor: actor, world: after, broken: broken)
    }

    /// Every third state, and every actor in it, of sets that between them take nearly every step.
    @Test(arguments: HandoverProtocol.all)
    func theRecordIsComplete(_ handover: HandoverProtocol) {
        var steps: Set<Step> = []
        var failures: [String] = []
        for configuration in Suite.configurations(for: handover) where !configuration.name.contains("crowd") {
            var exploration = Exploration(configuration, reduction: .none, keepsEdges: false)
            _ = exploration.run(maximumStates: 400)
            let fields = Self.fields(of: configuration.initialWorld)
            let log = AccessLog()
            for number in stride(from: 0, to: exploration.table.count, by: 3) {
                let state = exploration.codec.unpack(exploration.table.state(UInt32(number)))
                for index in exploration.operations.indices where !state.actors[index].isDone {
                    let id = ActorID(UInt8(index))
                    let plain = Self.take(state, state.world, index, exploration)
                    log.accesses = Accesses()
                    var (actor, after) = (state.actors[index], RecordedWorld(state.world, log))
                    let before = after
                    let transition = exploration.step(&actor, &after, index)
                    var broken = Violations()
                    exploration.judge(
                        transition,
                        index,
                        state.actors,
                        before: before,
                        actor: actor,
                        after: after,
                        &broken
                    )
                    let place = "\(configuration.name), state \(number), \(transition.step)"
                    let accesses = log.accesses
                    steps.insert(transition.step)
                    if transition != plain.transition || actor != plain.actor
                        || broken.properties != plain.broken.properties
                        || Self.difference(plain.world, after.small, of: id) != 0
                    {
                        failures.append("\(place): recorded, it goes another way")
                    }
                    let written = Self.difference(state.world, plain.world, of: id)
                    if written & ~accesses.writes != 0 { failures.append("\(place): writes what is not recorded") }
                    for field in fields where accesses.reads & field.bit == 0 {
                        for change in field.changes {
                            var changed = state.world
                            change(&changed)
                            let other = Self.take(state, changed, index, exploration)
                            var expected = plain.world
                            if accesses.writes & field.bit == 0 || field.isHold { change(&expected) }
                            if other.transition != plain.transition || other.actor != plain.actor
                                || other.broken.properties != plain.broken.properties
                                || Self.difference(expected, other.world, of: id) & ~Accesses.holds != 0
                            {
                                failures.append("\(place): depends on what is not recorded")
                            }
                        }
                    }
                    if failures.count > 5 { break }
                }
            }
        }
        #expect(failures.isEmpty, "\(failures.prefix(5))")
        #expect(steps.count > 50)
        print("footprints: \(handover.name), \(steps.count) steps")
    }

    /// A step that looks whether a lock is free waits while another holds it, and breaks then nothing that it does not
    /// break when the lock is free. One that does not wait is followed whoever holds the lock.
    @Test(arguments: HandoverProtocol.all)
    func locksExclude(_ handover: HandoverProtocol) {
        var failures: Set<String> = []
        var count = 0
        for configuration in Suite.configurations(for: handover) where !configuration.name.contains("crowd") {
            var exploration = Exploration(configuration, reduction: .none, keepsEdges: false)
            _ = exploration.run(maximumStates: 1_000)
            for number in 0..<exploration.table.count {
                let state = exploration.codec.unpack(exploration.table.state(UInt32(number)))
                for index in exploration.operations.indices where !state.actors[index].isDone {
                    let log = AccessLog()
                    var (actor, world) = (state.actors[index], RecordedWorld(state.world, log))
                    let transition = exploration.step(&actor, &world, index)
                    if transition.isBlocked { continue }
                    let free = Self.take(state, state.world, index, exploration)
                    var locks = log.accesses.reads & Accesses.locks
                    while locks != 0 {
                        let lock = locks & (~locks &+ 1)
                        locks &= ~lock
                        let held = Self.take(state, state.world.held(lock, by: Self.stranger), index, exploration)
                        count += 1
                        if !held.transition.wait.isLock || !held.broken.isSubset(of: free.broken) {
                            failures.insert("\(transition.step)")
                        }
                    }
                }
            }
        }
        #expect(failures == (handover.rules.poisonLock == .tries ? ["\(Step.poisonTakeLock)"] : []))
        #expect(count > 500)
    }

    /// Two steps whose records do not conflict lead to the same state in either order, and break the same.
    @Test(arguments: HandoverProtocol.all)
    func whatDoesNotConflictCommutes(_ handover: HandoverProtocol) {
        var failures: Set<String> = []
        var count = 0
        for configuration in Suite.configurations(for: handover) where !configuration.name.contains("crowd") {
            var exploration = Exploration(configuration, reduction: .none, keepsEdges: false)
            _ = exploration.run(maximumStates: 600)
            for number in 0..<exploration.table.count {
                let state = exploration.codec.unpack(exploration.table.state(UInt32(number)))
                let records = exploration.operations.indices.map { exploration.record(state, $0) }
                for one in records.indices {
                    for two in records.indices where one < two {
                        guard let first = records[one], let second = records[two], !first.conflicts(with: second)
                        else { continue }
                        count += 1
                        let (a, brokenA) = exploration.take(state, [one, two])
                        let (b, brokenB) = exploration.take(state, [two, one])
                        if exploration.codec.pack(a) != exploration.codec.pack(b)
                            || brokenA.properties != brokenB.properties
                        {
                            failures.insert("\(state.actors[one].step), \(state.actors[two].step)")
                        }
                    }
                }
            }
        }
        #expect(failures.isEmpty, "\(failures)")
        #expect(count > 500)
    }
}

extension Exploration {
    /// What the next step of an actor reads and writes; nil where it waits or has ended.
    fileprivate func record(_ state: SystemState, _ index: Int) -> Accesses? {
        guard !state.actors[index].isDone else { return nil }
        let log = AccessLog()
        var (actor, world) = (state.actors[index], RecordedWorld(state.world, log))
        let before = world
        let transition = step(&actor, &world, index)
        if transition.isBlocked { return nil }
        var broken = Violations()
        judge(transition, index, state.actors, before: before, actor: actor, after: world, &broken)
        return seen(log.accesses, transition, from: state.actors[index], to: actor)
    }

    /// The state after steps of these actors, and what they break.
    fileprivate func take(_ state: SystemState, _ order: [Int]) -> (SystemState, Violations) {
        var (current, broken) = (state, Violations())
        for index in order {
            let before = current
            let transition = step(&current, index)
            judge(
                transition,
                index,
                before.actors,
                before: before.world,
                actor: current.actors[index],
                after: current.world,
                &broken
            )
        }
        return (current, broken)
    }
}

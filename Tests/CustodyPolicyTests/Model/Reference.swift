import Custody

/// What ought to be so: the rules over plain arrays, one page and one thing after the other.
///
/// It knows nothing of how a controller is made: it has no locks, no claims beside its hand-overs, no transactions. It is
/// no second oracle: it predicts the one answer that a request must get, where the oracle says whether an answer that was
/// given is possible. Each story is held against both.
struct Reference {
    struct Answer: Equatable {
        var word: String
        var stoppedAt: Int?
        var changed = 0
        var ticket: UInt64?
    }

    struct Lease {
        let id: Int
        let pages: Range<Int>
        let kind: LeaseKind
        let yields: Bool
    }

    struct Change {
        let pages: Range<Int>
        let from: Ownership
    }

    struct Listener {
        let number: Int
        var reaches = [Bool](repeating: false, count: Story.pageCount)
        var prepares = 0
        var refusals: Set<Int> = []
        var isDismissed = false
    }

    enum Phase: Equatable {
        case draining, running
        /// So many of its changes have been made; the back end completes the next one by itself.
        case awaiting(made: Int)
        /// It is going to be taken back.
        case ending(made: Int)
    }

    struct Handover {
        let id: UInt64
        let changes: [Change]
        let target: Ownership
        let party: Party
        var deadline: Int?
        var phase: Phase
        var attempts: Int
        /// The last listener that is told of it as it goes.
        var lastListener: Int?
        var told: [(listener: Int, pages: [Int])] = []

        var pages: [Int] { changes.flatMap(\.pages) }
    }

    enum Job {
        case run(UInt64), resume(UInt64), expire(UInt64), withdraw(UInt64), wake, alarm, askBack, yield(Int)
    }

    enum Early {
        case completed, failed
    }

    enum Attempt {
        case done, blocked, vetoed
        case failed(isAway: Bool)
        case lost
        case pending(made: Int, Early?)
    }

    let story: Story
    var owner: [Ownership]
    var bytes = [UInt8](repeating: 0, count: Story.pageCount)
    var leases: [Lease] = []
    var handovers: [Handover] = []
    var listeners: [Listener] = []
    var settled: [String] = []
    /// The time box of each page, one for each change; 0 for none.
    var box = [Int](repeating: 0, count: Story.pageCount)
    var boxes = 0
    /// When the time of a box is over, and after what time it is asked for again.
    var dues: [Int: Int] = [:]
    var periods: [Int: Duration] = [:]
    /// When boxes are looked at.
    var alarm: Int?
    /// What has been let go of since hand-overs were looked at.
    var released: [Range<Int>] = []
    var isGoingToLook = false
    var isLaunched = false
    var isLost = false
    var isAway = false
    var drifted: [Int: Ownership] = [:]
    /// The time in nanoseconds.
    var now = 0
    static let millisecond = 1_000_000
    var jobs: [(due: Int, job: Job)] = []
    var lastListener = 0
    var nextTicket: UInt64 = 1
    /// What the back end completes by itself, by its own numbers.
    var waiting: [(number: UInt64, ticket: UInt64)] = []
    var nextWaiting: UInt64 = 1
    var prepares = 0
    var commits = 0
    var undos = 0
    var discards = 0
    var failingPrepares: Set<Int> = []
    var failingUndos: Set<Int> = []
    var failingDiscards: Set<Int> = []
    var plannedCommits: [Int: Step.Commit] = [:]

    init(_ story: Story) {
        self.story = story
        owner = Array(repeating: story.initial, count: Story.pageCount)
    }

    // MARK: Looking

    func ram(_ pages: Range<Int>) -> [Range<Int>] {
        Story.regions.map { $0.clamped(to: pages) }.filter { !$0.isEmpty }
    }

    /// Runs of neighbouring pages for which something is the same.
    func runs<T: Equatable>(_ pages: [Int], _ value: (Int) -> T) -> [(pages: Range<Int>, value: T)] {
        var runs: [(pages: Range<Int>, value: T)] = []
        for page in pages {
            if let last = runs.last, last.pages.upperBound == page, last.value == value(page), page != 9 {
                runs[runs.count - 1].pages = last.pages.lowerBound..<(page + 1)
            } else {
                runs.append((page..<(page + 1), value(page)))
            }
        }
        return runs
    }

    func isLeased(_ pages: [Int]) -> Bool { pages.contains { page in leases.contains { $0.pages.contains(page) } } }

    /// Pages that are shared, were, or are going to be.
    var exposed: Int {
        Story.ram.count { page in
            let handover = handovers.first { $0.pages.contains(page) }
            let from = handover?.changes.first { $0.pages.contains(page) }?.from
            return (from ?? owner[page]) == .shared || handover?.target == .shared
        }
    }

    func index(_ ticket: UInt64) -> Int? { handovers.firstIndex { $0.id == ticket } }

    // MARK: Requests

    mutating func convert(
        _ pages: Range<Int>,
        _ target: Ownership,
        _ party: Party,
        _ patience: Step.Patience,
        isPrefix: Bool
    ) -> Answer {
        if !story.passesHoles, ram(pages).reduce(0, { $0 + $1.count }) < pages.count { return Answer(word: "hole") }
        guard isPrefix else { return convertAll(pages, target, party, patience) }
        // The rules are asked about what the limits let through.
        let reach = pages.lowerBound..<end(of: pages, target)
        if let answer = rule(reach, target, party) {
            let isMore = ram(reach.upperBound..<pages.upperBound).joined().contains { owner[$0] != target }
            guard answer.word == "completed", isMore else { return answer }
        }
        var (runsLeft, pagesLeft, changed) = (3, 5, 0)
        for piece in ram(pages) {
            var page = piece.lowerBound
            while page < piece.upperBound {
                guard runsLeft > 0, pagesLeft > 0 else {
                    return Answer(word: "deferred", stoppedAt: page, changed: changed)
                }
                runsLeft -= 1
                var part = runs(Array(page..<piece.upperBound)) { owner[$0] }[0].pages
                let isDone = owner[page] == target
                if !isDone {
                    part = part.lowerBound..<min(part.upperBound, part.lowerBound + pagesLeft)
                    pagesLeft -= part.count
                }
                page = part.upperBound
                if isDone { continue }
                var step = convertAll(part, target, party, patience)
                if Answer.errors.contains(step.word) {
                    if changed == 0, part.lowerBound == pages.lowerBound { return step }
                    return Answer(word: "stopped", stoppedAt: part.lowerBound, changed: changed)
                }
                changed += step.changed
                step.changed = changed
                if step.stoppedAt != nil { return step }
            }
        }
        return Answer(word: "completed", changed: changed)
    }

    /// Where the limits of a request for a part end it, as the pages are now: three runs, and five pages that change.
    private func end(of pages: Range<Int>, _ target: Ownership) -> Int {
        var (runsLeft, pagesLeft) = (3, 5)
        for piece in ram(pages) {
            var page = piece.lowerBound
            while page < piece.upperBound {
                guard runsLeft > 0, pagesLeft > 0 else { return page }
                runsLeft -= 1
                let run = runs(Array(page..<piece.upperBound)) { owner[$0] }[0].pages
                guard owner[page] != target else {
                    page = run.upperBound
                    continue
                }
                let end = min(run.upperBound, run.lowerBound + pagesLeft)
                pagesLeft -= end - page
                page = end
            }
        }
        return pages.upperBound
    }

    /// What stops a request before anything else is looked at, or ends it because there is nothing to do.
    private func rule(_ pages: Range<Int>, _ target: Ownership, _ party: Party) -> Answer? {
        if isLost { return Answer(word: "backend") }
        let all = ram(pages).flatMap { $0 }
        guard let first = all.first(where: { owner[$0] != target }) else { return Answer(word: "completed") }
        if target == .host, party == .host { return Answer(word: "unsupported") }
        guard target == .shared else { return nil }
        if isLaunched { return Answer(word: "denied") }
        let added = all.count { owner[$0] == .private || owner[$0] == .host }
        return added > max(0, story.budget - exposed) ? Answer(word: "deferred", stoppedAt: first) : nil
    }

    private mutating func convertAll(
        _ pages: Range<Int>,
        _ target: Ownership,
        _ party: Party,
        _ patience: Step.Patience
    ) -> Answer {
        if let answer = rule(pages, target, party) { return answer }
        let all = ram(pages).flatMap { $0 }
        if all.contains(where: { owner[$0] == .inTransit }) {
            let met = handovers.filter { $0.pages.contains { pages.contains($0) } }
            let isRestDone = all.allSatisfy { owner[$0] == .inTransit || owner[$0] == target }
            if met.count == 1, met[0].target == target, isRestDone {
                return Answer(word: "pending", stoppedAt: met[0].pages.first(where: pages.contains), ticket: met[0].id)
            }
            let takesBack = met.allSatisfy { handover in
                handover.phase != .running && handover.changes.allSatisfy { $0.from == target }
                    && handover.pages.allSatisfy(pages.contains)
            }
            guard takesBack else { return Answer(word: "busy") }
            for handover in met { _ = end(handover.id, "cancelled") }
            return convertAll(pages, target, party, patience)
        }
        let changes = runs(all) { owner[$0] }.filter { $0.value != target }.map {
            Change(pages: $0.pages, from: $0.value)
        }
        let first = changes[0].pages.lowerBound
        let taken = target == .private ? changes.filter { $0.from.allows(.host) }.flatMap(\.pages) : []
        let holders = leases.filter { lease in taken.contains { lease.pages.contains($0) } }
        var deadline: Int?
        if case .milliseconds(let time) = patience { deadline = now + time * Self.millisecond }
        guard !holders.isEmpty else {
            let handover = Handover(
                id: nextTicket,
                changes: changes,
                target: target,
                party: party,
                deadline: deadline,
                phase: .running,
                attempts: 1,
                lastListener: lastListener
            )
            return carryOut(handover, mayWait: patience != .none)
        }
        if patience == .none || holders.contains(where: { $0.kind == .mapping }) {
            askToYield(changes)
            return Answer(word: "blocked", stoppedAt: first)
        }
        guard mayPend(party) else { return Answer(word: "too-many-pending") }
        handovers.append(
            Handover(
                id: nextTicket,
                changes: changes,
                target: target,
                party: party,
                deadline: deadline,
                phase: .draining,
                attempts: 0
            )
        )
        for page in changes.flatMap(\.pages) { owner[page] = .inTransit }
        nextTicket += 1
        askToYield(changes)
        if let deadline { jobs.append((deadline, .expire(nextTicket - 1))) }
        return Answer(word: "pending", stoppedAt: first, ticket: nextTicket - 1)
    }

    private func mayPend(_ party: Party) -> Bool {
        handovers.count < Story.pendingInTotal
            && (party == .host || handovers.count { $0.party == .guest } < Story.pendingForGuest)
    }

    private mutating func askToYield(_ changes: [Change]) {
        for change in changes {
            for lease in leases where lease.yields && lease.pages.overlaps(change.pages) {
                jobs.append((now, .yield(lease.id)))
            }
        }
    }

    private mutating func carryOut(_ handover: Handover, mayWait: Bool) -> Answer {
        var handover = handover
        let first = handover.changes[0].pages.lowerBound
        let before = handover.pages.map { owner[$0] }
        for page in handover.pages { owner[page] = .inTransit }
        let attempt = attempt(&handover, from: nil)
        switch attempt {
        case .done:
            conclude(handover) { _, _ in handover.target }
            return Answer(word: "completed", changed: before.count)
        case .blocked, .vetoed, .failed, .lost:
            restore(handover)
            if case .lost = attempt { lose() }
            if case .blocked = attempt { return Answer(word: "blocked", stoppedAt: first) }
            if case .vetoed = attempt { return Answer(word: "vetoed") }
            return Answer(word: "backend")
        case .pending(let made, let early):
            let isAllowed = mayWait && mayPend(handover.party)
            if !isAllowed, early == nil {
                waiting.removeLast()
                let isUndone = undo(&handover, made)
                restore(handover)
                if !isUndone {
                    lose()
                    return Answer(word: "backend")
                }
                return mayWait ? Answer(word: "too-many-pending") : Answer(word: "blocked", stoppedAt: first)
            }
            nextTicket += 1
            if !isAllowed { handover.deadline = nil }
            handovers.append(handover)
            expect(handover.id, made, early)
            if isAllowed, let deadline = handover.deadline { jobs.append((deadline, .expire(handover.id))) }
            return Answer(word: "pending", stoppedAt: first, ticket: handover.id)
        }
    }

    // MARK: Carrying changes out

    /// The back end and the listeners, in their order; from a certain change on where it has been begun before.
    private mutating func attempt(_ handover: inout Handover, from begun: Int?) -> Attempt {
        let isGiving = handover.target.allows(.host)
        if begun == nil {
            for _ in handover.changes {
                prepares += 1
                if isAway { return .failed(isAway: true) }
                if failingPrepares.contains(prepares) { return .failed(isAway: false) }
            }
            if !isGiving, !tell(&handover, isGranted: false) { return .vetoed }
        }
        var made = begun ?? 0
        while made < handover.changes.count {
            commits += 1
            let planned = plannedCommits[commits]
            if isAway || planned == .fail {
                return undo(&handover, made) ? .failed(isAway: isAway) : .lost
            }
            switch planned {
            case .block: return undo(&handover, made) ? .blocked : .lost
            case .pend, .pendAndComplete, .pendAndFail:
                nextWaiting += 1
                if planned == .pend { waiting.append((nextWaiting - 1, handover.id)) }
                return .pending(made: made, planned == .pend ? nil : planned == .pendAndFail ? .failed : .completed)
            default: made += 1
            }
        }
        if isGiving, !tell(&handover, isGranted: true) { return undo(&handover, made) ? .vetoed : .lost }
        handover.told = []
        return .done
    }

    /// Listeners prepare, the newest first where the host loses pages. A refusal takes back what was prepared.
    private mutating func tell(_ handover: inout Handover, isGranted: Bool) -> Bool {
        let last = handover.lastListener ?? 0
        let numbers = listeners.filter { $0.number <= last }.map(\.number)
        for number in isGranted ? numbers : numbers.reversed() {
            guard let index = listeners.firstIndex(where: { $0.number == number }) else { continue }
            let pages = handover.pages.filter { listeners[index].reaches[$0] != isGranted }
            var prepared: [Int] = []
            for run in runsOfListener(pages) {
                if !prepare(index) {
                    for page in prepared { listeners[index].reaches[page] = !isGranted }
                    takeBackWord(&handover)
                    return false
                }
                prepared += run
                for page in run { listeners[index].reaches[page] = isGranted }
            }
            handover.told.append((number, prepared))
        }
        return true
    }

    /// Neighbouring pages, whatever they were.
    private func runsOfListener(_ pages: [Int]) -> [Range<Int>] { runs(pages) { _ in true }.map(\.pages) }

    private mutating func prepare(_ index: Int) -> Bool {
        listeners[index].prepares += 1
        return listeners[index].refusals.remove(listeners[index].prepares) == nil
    }

    private mutating func takeBackWord(_ handover: inout Handover) {
        for (number, pages) in handover.told {
            guard let index = listeners.firstIndex(where: { $0.number == number }), !listeners[index].isDismissed
            else { continue }
            for page in pages { listeners[index].reaches[page] = !handover.target.allows(.host) }
        }
        handover.told = []
    }

    /// Takes so many changes back; `false` where the back end could not.
    private mutating func undo(_ handover: inout Handover, _ made: Int) -> Bool {
        var isUndone = true
        for _ in 0..<made {
            undos += 1
            if failingUndos.contains(undos) { isUndone = false }
        }
        takeBackWord(&handover)
        return isUndone
    }

    private mutating func restore(_ handover: Handover) {
        conclude(handover) { change, _ in change.from }
    }

    /// The pages are in their last ownership. Listeners that came meanwhile are told, and go where they refuse.
    private mutating func conclude(_ handover: Handover, isFound: Bool = false, _ final: (Change, Int) -> Ownership) {
        if let last = handover.lastListener {
            follow(handover.changes, final) { $0.number > last }
        }
        var isChanged = !isFound
        for change in handover.changes {
            for page in change.pages {
                owner[page] = final(change, page)
                if change.from == .shared, owner[page] != .shared { box[page] = 0 }
                if owner[page] == change.from { isChanged = false }
                if owner[page] != change.from, story.zeroes, !isFound { bytes[page] = 0 }
            }
        }
        if isChanged, handover.target == .shared, let time = story.timeBox {
            for change in handover.changes {
                boxes += 1
                for page in change.pages { box[page] = boxes }
                dues[boxes] = now + time * Self.millisecond
                periods[boxes] = .milliseconds(time)
            }
            setAlarm()
        }
    }

    private mutating func follow(
        _ changes: [Change],
        _ final: (Change, Int) -> Ownership,
        _ isMeant: (Listener) -> Bool
    ) {
        var wanted: [Int: Bool] = [:]
        for change in changes { for page in change.pages { wanted[page] = final(change, page).allows(.host) } }
        for index in listeners.indices where isMeant(listeners[index]) && !listeners[index].isDismissed {
            let pages = wanted.keys.sorted().filter { listeners[index].reaches[$0] != wanted[$0] }
            for run in runs(pages, { wanted[$0] }) {
                let isTaken = prepare(index)
                if !isTaken, run.value == true {
                    listeners[index].isDismissed = true
                    listeners[index].reaches = Array(repeating: false, count: Story.pageCount)
                    break
                }
                for page in run.pages { listeners[index].reaches[page] = run.value == true }
            }
        }
        listeners.removeAll { $0.isDismissed }
    }

    // MARK: Hand-overs

    private mutating func expect(_ id: UInt64, _ made: Int, _ early: Early?) {
        guard let index = index(id) else { return }
        handovers[index].phase = .awaiting(made: made)
        switch early {
        case .completed: proceed(id)
        case .failed: giveUp(id, isAway: false)
        case nil: if isLost { giveUp(id, isAway: false) }
        }
    }

    /// The back end has made the change that it was to complete.
    private mutating func proceed(_ id: UInt64) {
        guard let index = index(id), case .awaiting(let made) = handovers[index].phase else { return }
        drive(id, from: made + 1)
    }

    private mutating func drive(_ id: UInt64, from begun: Int?) {
        guard let index = index(id) else { return }
        handovers[index].phase = .running
        var handover = handovers[index]
        let attempt = attempt(&handover, from: begun)
        handovers[index] = handover
        switch attempt {
        case .done: settle(id, "completed") { _, _ in handover.target }
        case .blocked: postpone(id)
        case .failed(let isAway): if isAway { postpone(id) } else { settle(id, "failed") }
        case .vetoed: settle(id, "vetoed")
        case .lost:
            settle(id, "failed")
            lose()
        case .pending(let made, let early): expect(id, made, early)
        }
    }

    private mutating func giveUp(_ id: UInt64, isAway: Bool) {
        guard let index = index(id), case .awaiting(let made) = handovers[index].phase else { return }
        handovers[index].phase = .running
        var handover = handovers[index]
        let isUndone = undo(&handover, made)
        handovers[index] = handover
        if !isUndone {
            settle(id, "failed")
            lose()
        } else if isAway {
            postpone(id)
        } else {
            settle(id, "failed")
        }
    }

    private mutating func postpone(_ id: UInt64) {
        guard let index = index(id) else { return }
        let waits = [1, 2]
        guard handovers[index].attempts <= waits.count else { return settle(id, "failed") }
        if let last = handovers[index].lastListener {
            follow(handovers[index].changes, { change, _ in change.from }) { $0.number > last }
        }
        handovers[index].phase = .draining
        handovers[index].lastListener = nil
        jobs.append((now + waits[handovers[index].attempts - 1] * Self.millisecond, .resume(id)))
    }

    private mutating func settle(
        _ id: UInt64,
        _ word: String,
        isFound: Bool = false,
        _ final: (Change, Int) -> Ownership = { change, _ in change.from }
    ) {
        guard let index = index(id) else { return }
        let handover = handovers.remove(at: index)
        conclude(handover, isFound: isFound, final)
        settled.append("#\(id) \(word)")
    }

    /// A hand-over's deadline has come. The back end is asked beside everything else.
    private mutating func expire(_ id: UInt64) {
        guard let index = index(id) else { return }
        switch handovers[index].phase {
        case .draining: settle(id, "expired")
        case .awaiting(let made):
            handovers[index].phase = .ending(made: made)
            jobs.append((now, .withdraw(id)))
        case .running, .ending: break
        }
    }

    /// Takes a hand-over back.
    mutating func end(_ id: UInt64, _ word: String, isBegun: Bool = false) -> Bool {
        guard let index = index(id), handovers[index].phase != .running else { return false }
        if case .ending(let made) = handovers[index].phase {
            guard isBegun else { return false }
            handovers[index].phase = .awaiting(made: made)
        }
        if case .awaiting(let made) = handovers[index].phase {
            waiting.removeAll { $0.ticket == id }
            var handover = handovers[index]
            let isUndone = undo(&handover, made)
            handovers[index] = handover
            if !isUndone {
                settle(id, "failed")
                lose()
                return false
            }
        }
        settle(id, word)
        return true
    }

    /// Those of the waiting hand-overs that nobody holds up are going to be carried out.
    private mutating func takeReady(_ isMeant: (Handover) -> Bool) -> [UInt64] {
        var ready: [UInt64] = []
        for index in handovers.indices where handovers[index].phase == .draining && isMeant(handovers[index]) {
            guard !isLeased(handovers[index].pages) else { continue }
            handovers[index].phase = .running
            handovers[index].lastListener = lastListener
            ready.append(handovers[index].id)
        }
        return ready
    }

    private mutating func run(_ id: UInt64) {
        guard let index = index(id) else { return }
        handovers[index].attempts += 1
        drive(id, from: nil)
    }

    // MARK: Holders, contents, time

    mutating func release(_ id: Int) {
        guard let index = leases.firstIndex(where: { $0.id == id }) else { return }
        noteReleased(leases.remove(at: index).pages)
    }

    private mutating func noteReleased(_ pages: Range<Int>) {
        guard handovers.contains(where: { $0.pages.contains { pages.contains($0) } }) else { return }
        if !isGoingToLook { jobs.append((now, .wake)) }
        isGoingToLook = true
        released.append(pages)
    }

    /// One range after the other is looked at; what is carried out comes after what is there.
    private mutating func wake() {
        isGoingToLook = !released.isEmpty
        guard isGoingToLook else { return }
        let pages = released.removeFirst()
        for id in takeReady({ $0.pages.contains { pages.contains($0) } }) { jobs.append((now, .run(id))) }
        jobs.append((now, .wake))
    }

    mutating func discard(_ pages: Range<Int>) -> String? {
        if ram(pages).reduce(0, { $0 + $1.count }) < pages.count { return "hole" }
        if isLost { return "backend" }
        let isBusy = handovers.contains { handover in
            guard case .awaiting(let made) = handover.phase else { return false }
            return handover.changes.enumerated().contains { $0 != made && $1.pages.overlaps(pages) }
        }
        if isBusy { return "busy" }
        discards += 1
        let fails = isAway || failingDiscards.contains(discards)
        if !fails { for page in pages { bytes[page] = 0 } }
        noteReleased(pages)
        return fails ? "backend" : nil
    }

    mutating func pass(_ time: Int) {
        let end = now + time * Self.millisecond
        drain()
        while let next = jobs.map(\.due).min(), next <= end {
            now = max(now, next)
            drain()
        }
        now = end
    }

    /// Does what is due, the earliest first, and of equals what was asked for first.
    mutating func drain() {
        while let due = jobs.map(\.due).min(), due <= now, let index = jobs.firstIndex(where: { $0.due == due }) {
            switch jobs.remove(at: index).job {
            case .run(let id): run(id)
            case .resume(let id): for id in takeReady({ $0.id == id }) { run(id) }
            case .expire(let id): expire(id)
            case .withdraw(let id): _ = end(id, "expired", isBegun: true)
            case .yield(let lease): release(lease)
            case .wake: wake()
            case .alarm: jobs.append((now, .askBack))
            case .askBack: askBack()
            }
        }
    }

    /// Has boxes looked at when the first one's time is over, where nobody looks earlier.
    private mutating func setAlarm() {
        guard let next = box.compactMap({ $0 == 0 ? nil : dues[$0] }).min(), alarm.map({ next < $0 }) ?? true
        else { return }
        jobs.removeAll { if case .alarm = $0.job { true } else { false } }
        alarm = next
        jobs.append((next, .alarm))
    }

    /// Asks for the pages whose time is over: neighbours together where nobody holds them and it goes well, else run by
    /// run.
    private mutating func askBack() {
        alarm = nil
        if isLost { box = box.map { _ in 0 } }
        let due = Set(box.filter { $0 != 0 && dues[$0, default: .max] <= now })
        for number in due {
            let period = periods[number] ?? .zero
            dues[number] = now + Int(period / .nanoseconds(1))
            periods[number] = period + period / 16
        }
        let parts = runs(Story.ram.filter { due.contains(box[$0]) }) { box[$0] }.map(\.pages)
        for neighbours in runs(parts.flatMap { $0 }, { _ in true }).map(\.pages) {
            for run in runs(neighbours.filter { owner[$0] == .shared }, { _ in true }).map(\.pages) {
                let parts = parts.map { $0.clamped(to: run) }.filter { !$0.isEmpty }
                if parts.count > 1, !isLeased(Array(run)),
                    convertAll(run, .private, .host, .endless).word == "completed"
                {
                    continue
                }
                for part in parts { _ = convertAll(part, .private, .host, .endless) }
            }
        }
        setAlarm()
    }

    // MARK: Listeners

    /// Adds a listener; `false` where it refuses what there is.
    mutating func join(refusing nth: Int?) -> Bool {
        lastListener += 1
        var listener = Listener(number: lastListener)
        if let nth { listener.refusals = [nth] }
        let reached = Story.ram.filter { page in
            let waits = handovers.first { $0.pages.contains(page) && $0.lastListener == nil }
            let from = waits?.changes.first { $0.pages.contains(page) }?.from
            return (from ?? owner[page]).allows(.host)
        }
        listeners.append(listener)
        for run in runs(reached, { _ in true }) {
            guard prepare(listeners.count - 1) else {
                listeners.removeLast()
                return false
            }
            for page in run.pages { listeners[listeners.count - 1].reaches[page] = true }
        }
        return true
    }

    // MARK: The back end

    mutating func endLate(_ number: UInt64, completes: Bool) {
        guard let index = waiting.firstIndex(where: { $0.number == number }) else { return }
        let ticket = waiting.remove(at: index).ticket
        if completes { proceed(ticket) } else { giveUp(ticket, isAway: false) }
    }

    mutating func lose() {
        guard !isLost else { return }
        isLost = true
        for handover in handovers {
            switch handover.phase {
            case .draining, .awaiting: settle(handover.id, "failed")
            case .running, .ending: break
            }
        }
    }

    mutating func reconnect(droppingHandovers: Bool) {
        isAway = false
        if droppingHandovers {
            for (number, ticket) in waiting {
                waiting.removeAll { $0.number == number }
                giveUp(ticket, isAway: true)
            }
        }
        guard !isLost else { return }
        let found = drifted
        drifted = [:]
        let strays = handovers.filter { $0.phase == .draining && $0.pages.contains { found[$0] != nil } }.map(\.id)
        for id in strays { if let index = index(id) { handovers[index].phase = .running } }
        let rest = found.keys.sorted().filter { owner[$0] != .inTransit }
        let adopted = runs(rest) { [owner[$0], found[$0]] }.map {
            Change(pages: $0.pages, from: owner[$0.pages.lowerBound])
        }
        for change in adopted { for page in change.pages { owner[page] = .inTransit } }
        let last = lastListener
        for id in strays {
            guard let index = index(id) else { continue }
            let handover = handovers[index]
            askToYield(lost(handover.changes, found))
            follow(handover.changes, { change, page in found[page] ?? change.from }) { $0.number <= last }
            let isDone = handover.pages.allSatisfy { found[$0] == handover.target }
            settle(id, isDone ? "completed" : "failed", isFound: true) { change, page in found[page] ?? change.from }
        }
        for change in adopted {
            askToYield(lost([change], found))
            follow([change], { change, page in found[page] ?? change.from }) { _ in true }
            for page in change.pages {
                owner[page] = found[page] ?? change.from
                if owner[page] != .shared { box[page] = 0 }
            }
        }
        for page in found.keys where story.zeroes { bytes[page] = 0 }
        for id in takeReady({ _ in true }) { run(id) }
    }

    /// The runs of pages that the host had and has no more.
    private func lost(_ changes: [Change], _ found: [Int: Ownership]) -> [Change] {
        changes.flatMap { change in
            let pages = change.pages.filter { change.from.allows(.host) && found[$0]?.allows(.host) == false }
            return runs(pages) { found[$0] }.map { Change(pages: $0.pages, from: change.from) }
        }
    }

    /// A new controller goes on from a snapshot. What the back end was completing has been taken back.
    mutating func restart() {
        leases = []
        listeners = []
        lastListener = 0
        waiting = []
        isAway = false
        let open = handovers.sorted { $0.id < $1.id }
        for handover in handovers {
            if case .awaiting(let made) = handover.phase { undos += made }
            for change in handover.changes { for page in change.pages { owner[page] = change.from } }
        }
        failingUndos = []
        for (page, found) in drifted {
            owner[page] = found
            if story.zeroes { bytes[page] = 0 }
        }
        drifted = [:]
        jobs = []
        (released, isGoingToLook) = ([], false)
        let (old, kept) = (dues, periods)
        func key(_ number: Int) -> [Duration] { [.nanoseconds(old[number] ?? 0), kept[number] ?? .zero] }
        let before = box
        box = box.map { _ in 0 }
        (boxes, dues, periods, alarm) = (0, [:], [:], nil)
        let keys = Set(before.filter { $0 != 0 }.map(key)).sorted { ($0[0], $0[1]) < ($1[0], $1[1]) }
        for each in keys {
            let pages = Story.ram.filter { before[$0] != 0 && key(before[$0]) == each && owner[$0] == .shared }
            for run in runs(pages, { _ in true }) {
                boxes += 1
                for page in run.pages { box[page] = boxes }
                dues[boxes] = Int(each[0] / .nanoseconds(1))
                periods[boxes] = each[1]
            }
        }
        setAlarm()
        handovers = []
        for old in open {
            let isStray = old.changes.contains { change in
                change.pages.contains { owner[$0] != change.from && owner[$0] != old.target }
            }
            let rest = old.changes.flatMap { change in
                runs(change.pages.filter { owner[$0] != old.target }) { owner[$0] }
                    .map { Change(pages: $0.pages, from: $0.value) }
            }
            guard !isStray, !rest.isEmpty else { continue }
            handovers.append(
                Handover(
                    id: old.id,
                    changes: rest,
                    target: old.target,
                    party: old.party,
                    deadline: old.deadline,
                    phase: .draining,
                    attempts: 0
                )
            )
        }
        for handover in handovers {
            for page in handover.pages { owner[page] = .inTransit }
            if let deadline = handover.deadline { jobs.append((deadline, .expire(handover.id))) }
            jobs.append((now, .resume(handover.id)))
        }
    }
}

extension Reference.Answer {
    /// The words of answers that are refusals.
    static let errors: Set<String> = [
        "hole", "backend", "unsupported", "denied", "busy", "too-many-pending", "vetoed",
    ]
}

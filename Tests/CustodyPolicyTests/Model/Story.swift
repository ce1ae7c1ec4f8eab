import Custody
import SimulationBackend

/// Steps, and what they begin with. The same seed makes the same story.
struct Story: Sendable {
    /// What carries changes out.
    enum Stage: String, Sendable, CaseIterable {
        /// The simulation, with every call of it watched.
        case simulation
        /// A back end that keeps book and has no memory.
        case fake
    }

    var stage = Stage.simulation
    var initial = Ownership.shared
    var zeroes = true
    /// Whether ranges may reach over the hole.
    var passesHoles = false
    /// What is shared becomes private again by itself.
    var timeBox: Int?
    /// The most pages that may be shared.
    var budget = 64
    var steps: [Step] = []

    /// The guest's pages: with a hole in between.
    static let regions = [0..<7, 9..<14]
    static let pageCount = 14
    static let ram = regions.flatMap { $0 }
    /// The largest numbers of hand-overs pending, for a guest and in total.
    static let pendingForGuest = 2
    static let pendingInTotal = 4

    init(steps: [Step] = []) { self.steps = steps }

    init(seed: UInt64, _ stage: Stage) {
        var random = SplitMix64(seed: seed)
        self.stage = stage
        initial = random.next() % 4 == 0 ? .private : .shared
        zeroes = random.next() % 2 == 0
        passesHoles = random.next() % 2 == 0
        timeBox = random.next() % 4 == 0 ? 3 + Int(random.next() % 5) : nil
        if random.next() % 4 == 0 { budget = 3 + Int(random.next() % 8) }
        let focus = Step.Focus.allCases[Int(random.next(upperBound: UInt64(Step.Focus.allCases.count)))]
        let count = 8 + Int(random.next() % 25)
        for _ in 0..<count { steps.append(random.next() % 3 == 0 ? Step(&random) : Step(&random, focus)) }
    }
}

extension Step {
    /// What a story is about most of the time: chance alone seldom tells a long story of one thing.
    fileprivate enum Focus: CaseIterable {
        case handovers, lateEnds, listeners, time, connection, restarts
    }

    /// A step by chance that has to do with a certain thing.
    fileprivate init(_ random: inout SplitMix64, _ focus: Focus) {
        func number(_ bound: Int) -> Int { Int(random.next(upperBound: UInt64(bound))) }
        let low = number(Story.pageCount)
        let pages = low..<(low + 1 + number(min(6, Story.pageCount - low)))
        func convert(_ target: Ownership, _ patience: Patience = .endless) -> Step {
            .convert(pages, target, by: number(3) == 0 ? .host : .guest, patience, isPrefix: number(6) == 0)
        }
        func handOver() -> Step { convert(.private, number(3) == 0 ? .milliseconds(1 + number(9)) : .endless) }
        let choices: [Step] =
            switch focus {
            case .handovers:
                [
                    handOver(), handOver(), .lease(pages, .pin, yields: number(5) == 0), .release(number(4)),
                    convert(.shared),
                ]
            case .lateEnds:
                [
                    .commit(1 + number(3), [.pend, .pend, .pendAndComplete, .pendAndFail][number(4)]), convert(.shared),
                    convert(.private, number(2) == 0 ? .none : .endless),
                    .endLate(number(4), completes: number(3) != 0),
                    .discard(pages), .cancel(number(4)), convert(.host),
                ]
            case .listeners:
                [
                    .join(refusing: number(4) == 0 ? 1 + number(6) : nil),
                    .refuse(listener: number(3), nth: 1 + number(3)),
                    convert(.private), convert(.shared), convert(.host), .commit(1 + number(2), .pend),
                    .endLate(number(3), completes: true), .leave(number(4)),
                ]
            case .time:
                [
                    handOver(), .lease(pages, .pin, yields: false), .release(number(4)), .commit(1 + number(4), .block),
                    .commit(1, .block), .pass(milliseconds: 1 + number(2)), convert(.shared),
                ]
            case .connection:
                [
                    .disconnect, .drift(low, [.shared, .private, .host][number(3)]), .drift(low, .private),
                    .reconnect(droppingHandovers: number(2) == 0),
                    .join(refusing: number(3) == 0 ? 1 + number(6) : nil),
                    handOver(), .lease(pages, .pin, yields: number(3) == 0), .release(number(3)), .commit(1, .pend),
                    .pass(milliseconds: 1),
                ]
            case .restarts:
                [
                    .restart, handOver(), .commit(1 + number(2), .block), .commit(1 + number(3), .pend),
                    convert(.shared),
                    .lease(pages, .pin, yields: false), .pass(milliseconds: 1 + number(3)),
                    .endLate(0, completes: true),
                ]
            }
        self = choices[number(choices.count)]
    }

    /// A step by chance: requests and leases most of the time.
    fileprivate init(_ random: inout SplitMix64) {
        func number(_ bound: Int) -> Int { Int(random.next(upperBound: UInt64(bound))) }
        let low = number(Story.pageCount)
        let pages = low..<(low + 1 + number(min(6, Story.pageCount - low)))
        switch number(100) {
        case 0..<34:
            let target: Ownership = [.shared, .private, .private, .host][number(4)]
            let patience: Patience = [.endless, .endless, .none, .milliseconds(1 + number(6))][number(4)]
            let requester: RequesterName = [.guest, .guest, .host, .device][number(4)]
            self = .convert(pages, target, by: requester, patience, isPrefix: number(3) == 0)
        case 34..<48: self = .lease(pages, [.pin, .pin, .access, .mapping][number(4)], yields: number(4) == 0)
        case 48..<58: self = .release(number(8))
        case 58..<61: self = .cancel(number(8))
        case 61..<67: self = .pass(milliseconds: 1 + number(5))
        case 67..<69: self = .discard(pages)
        case 69: self = number(4) == 0 ? .launch : .pass(milliseconds: 1)
        case 70..<75: self = .touch(low, by: number(2) == 0 ? .host : .guest)
        case 75..<78: self = .join(refusing: number(3) == 0 ? 1 + number(4) : nil)
        case 78: self = .leave(number(4))
        case 79..<82: self = .refuse(listener: number(4), nth: 1 + number(2))
        case 82..<84: self = .failPrepare(1 + number(3))
        case 84..<90: self = .commit(1 + number(2), Commit.allCases[number(Commit.allCases.count)])
        case 90: self = number(3) == 0 ? .failUndo(1 + number(2)) : .failDiscard(1)
        case 91..<95: self = .endLate(number(4), completes: number(3) != 0)
        case 95: self = .disconnect
        case 96: self = .drift(low, [.shared, .private, .host][number(3)])
        case 97: self = .reconnect(droppingHandovers: number(2) == 0)
        case 98: self = .restart
        default: self = number(8) == 0 ? .lose : .restart
        }
    }
}

extension Story: CustomStringConvertible {
    /// The story as a test that plays it.
    var description: String {
        var lines = ["@Test func regression() throws {", "    var story = Story(steps: ["]
        lines += steps.map { "        \($0)," }
        lines.append("    ])")
        lines.append("    story.stage = .\(stage.rawValue)")
        if initial != .shared { lines.append("    story.initial = .\(initial)") }
        if !zeroes { lines.append("    story.zeroes = false") }
        if passesHoles { lines.append("    story.passesHoles = true") }
        if let timeBox { lines.append("    story.timeBox = \(timeBox)") }
        if budget != 64 { lines.append("    story.budget = \(budget)") }
        return (lines + ["    try story.play()", "}"]).joined(separator: "\n")
    }
}

@testable import CustodyChecker
import CustodyProtocols
import Testing

/// What is visited, and how long the ways are that are shown.
@Suite struct ExplorationTests {
    /// A step that crashes the kernel leads nowhere. A state that such a step would lead to is visited all the same if
    /// another way reaches it: what is visited does not depend on the order of the search.
    @Test(arguments: HandoverProtocol.all)
    func whatIsVisitedDoesNotDependOnTheOrder(_ handover: HandoverProtocol) {
        var crashes = 0
        for configuration in Suite.configurations(for: handover) where !configuration.name.contains("crowd") {
            var exploration = Exploration(configuration, reduction: .none)
            guard exploration.run(maximumStates: 1_500) else { continue }
            let (visited, broken) = depthFirst(configuration)
            #expect(exploration.table.count == visited, "\(handover.name) \(configuration.name)")
            let found = Set(exploration.findings.keys)
            #expect(found == broken, "\(handover.name) \(configuration.name)")
            crashes += exploration.crashes.count
        }
        if handover == .version5 || handover == .version7 { #expect(crashes > 0) }
    }

    /// Another search, in another order: how many states there are, and which properties do not hold.
    private func depthFirst(_ configuration: Configuration) -> (Int, Set<Property>) {
        var exploration = Exploration(configuration, reduction: .none)
        let first = exploration.codec.pack(exploration.initial)
        var (visited, open) = (Set([first]), [first])
        var found: Set<Property> = []
        while let packed = open.popLast() {
            let state = exploration.codec.unpack(packed)
            var canGoOn = false
            for index in exploration.operations.indices where !state.actors[index].isDone {
                var next = state
                let transition = exploration.step(&next, index)
                var broken = Violations()
                exploration.judge(
                    transition,
                    index,
                    state.actors,
                    before: state.world,
                    actor: next.actors[index],
                    after: next.world,
                    &broken
                )
                found.formUnion(broken.properties)
                if transition.isBlocked { continue }
                canGoOn = true
                if !broken.isFatal, visited.insert(exploration.codec.pack(next)).inserted {
                    open.append(exploration.codec.pack(next))
                }
            }
            if !canGoOn {
                var broken = Violations()
                exploration.judgeEnd(state, &broken)
                found.formUnion(broken.properties)
            }
        }
        return (visited.count, found)
    }

    /// A state without a way out is as near with reduction as without.
    @Test func trapsAreAsNear() throws {
        var configuration = try #require(Suite.configuration("guest", for: .custody))
        configuration.mutation = .losesEffect(of: .guestMap)
        let reduced = Checker(properties: [.noLivelock]).check(configuration)[.noLivelock]?.counterexample
        let checker = Checker(reduction: false, properties: [.noLivelock])
        let full = checker.check(configuration)[.noLivelock]?.counterexample
        let (one, two) = (try #require(reduced), try #require(full))
        #expect(one.entries.count == two.entries.count && one.isShortest && two.isShortest)
    }

    @Test func shortestIsSaidOnlyWhereItIs() throws {
        let configuration = try #require(Suite.configuration("two requests", for: .version5))
        for (property, verdict) in Checker(shortest: false).check(configuration).verdicts {
            guard let counterexample = verdict.counterexample else { continue }
            #expect(!counterexample.isShortest, "\(property)")
            #expect(verdict.text == "counterexample (at most \(counterexample.entries.count) steps)")
            #expect(counterexample.text.contains("There may be a shorter way."))
        }
        let report = Checker().check(configuration)
        for (property, verdict) in report.verdicts {
            guard let counterexample = verdict.counterexample else { continue }
            #expect(counterexample.isShortest, "\(property)")
            #expect(!verdict.text.contains("at most") && !counterexample.text.contains("shorter"))
        }
        #expect(CounterexamplePage(report).html.contains("No way is shorter."))
    }

    /// No circle of a reduced exploration consists of steps that were taken alone: nobody is put off for ever.
    @Test(arguments: HandoverProtocol.all)
    func nobodyIsPutOffForEver(_ handover: HandoverProtocol) {
        var decisions = 0
        for configuration in Suite.configurations(for: handover) where !configuration.name.contains("crowd") {
            var exploration = Exploration(configuration, reduction: .equalActorsAndOrders)
            _ = exploration.run(maximumStates: 5_000)
            decisions += exploration.decisions.count
            let alone = Set(exploration.decisions.map(\.state))
            var next: [UInt32: UInt32] = [:]
            for edge in exploration.edges where alone.contains(edge.from) { next[edge.from] = edge.to }
            for start in alone {
                var (current, length) = (start, 0)
                while let following = next[current], length <= alone.count {
                    current = following
                    length += 1
                }
                #expect(length <= alone.count, "\(handover.name) \(configuration.name)")
                if length > alone.count { break }
            }
        }
        #expect(decisions > 100)
    }
}

import Custody
import CustodyPolicy
import CustodyTestSupport
import Testing

/// Random stories on a controller and on a naive reference beside it, step by step.
///
/// A story that fails is made as short as it gets and printed as a test. `CUSTODY_STORIES` is the number of stories.
@Suite(.timeLimit(.minutes(60))) struct ModelTests {
    @Test(arguments: Story.Stage.allCases)
    func agreesWithTheReference(stage: Story.Stage) throws {
        let seed = Seed.value()
        let count = (Seed.number("CUSTODY_STORIES") ?? 10_000) / UInt64(Story.Stage.allCases.count)
        print("Model: CUSTODY_SEED=\(seed), \(count) stories on \(stage.rawValue)")
        for number in 0..<count {
            let story = Story(seed: seed &+ number &* 0x9e37_79b9_7f4a_7c15, stage)
            guard story.failure != nil else { continue }
            let shortest = story.shrunk { $0.failure != nil }
            Issue.record("CUSTODY_SEED=\(seed), story \(number): \(shortest.failure ?? "-")\n\(shortest)")
            return
        }
    }

    /// What the shrinking of a story is worth: of a long one that fails only what matters is left, and it is printed as a
    /// test.
    @Test func aStoryThatFailsIsMadeShort() throws {
        let long = Story(seed: 7, .fake).steps
        var story = Story(steps: long + [.lease(2..<6, .pin, yields: true)] + long + [.discard(1..<4)] + long)
        story.passesHoles = true
        // Stands for a defect: whoever discards a page that has been leased at any time before.
        let shortest = story.shrunk { story in
            var leased: Set<Int> = []
            for step in story.steps {
                if case .lease(let pages, _, _) = step { leased.formUnion(pages) }
                if case .discard(let pages) = step, !leased.isDisjoint(with: pages) { return true }
            }
            return false
        }
        #expect(shortest.steps.count == 2)
        guard case .lease(let pages, _, yields: false) = shortest.steps[0] else { throw Unexpected() }
        #expect(pages.count == 1 && shortest.steps[1] == .discard(pages))
        #expect(shortest.description.contains("    try story.play()") && !shortest.description.contains("passesHoles"))
        #expect(shortest.description.contains(".discard(\(pages)),"))
    }

    private struct Unexpected: Error {}
}

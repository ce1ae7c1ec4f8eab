import CheckerDifferential
import CustodyChecker
import CustodyProtocols
import Foundation
import Testing

/// Sets of actors explored with and without reduction: verdicts and shortest lengths are the same.
///
/// `CustodyDifferential` compares thousands in a release build; this is a sample, and a test of the comparison.
@Suite struct DifferentialTests {
    /// A seed of the environment, or one that is always the same.
    static let seed = ProcessInfo.processInfo.environment["CUSTODY_SEED"].flatMap { UInt64($0) } ?? 0x5EED

    /// What to overlook, and a seed whose first sets show it.
    static let seedsThatShow: [(Blindness, UInt64)] = [
        (.mappability, 2), (.hostMappings, 5), (.references, 3), (.pageCache, 1), (.locks, 3), (.futures, 3),
    ]

    static let finding = ActorSet(
        .version7,
        ["converter:leaves", "speculative", "final-put"],
        start: .present,
        pages: 2
    )

    /// The answer of a request is judged by pages that another actor changes: a reduction that takes the end of a
    /// request for a step of registers alone proves what is false.
    @Test func theEndOfARequestReadsThePagesItIsJudgedBy() throws {
        let configuration = try #require(Self.finding.configuration)
        let reduced = try #require(
            Checker(properties: [.answerNamesBlocker]).check(configuration)[.answerNamesBlocker]?.counterexample
        )
        let full = try #require(
            Checker(reduction: false, properties: [.answerNamesBlocker]).check(configuration)[.answerNamesBlocker]?
                .counterexample
        )
        #expect(reduced.entries.count == full.entries.count && reduced.isShortest && full.isShortest)
    }

    @Test func aSampleAgrees() {
        let comparisons = RandomComparisons(seed: Self.seed, count: 60, maximumStates: 1_000)
        let found = comparisons.difference
        #expect(found == nil, "seed \(Self.seed): \(found.map { "\($0.set): \($0.difference ?? "")" } ?? "")")
        #expect(comparisons.count == 60 && comparisons.states > 1_000)
        print("differential: seed \(Self.seed), \(comparisons.count) sets, \(comparisons.states) states")
    }

    /// A reduction that overlooks one kind of access is noticed, and the set that shows it is made small.
    @Test(arguments: seedsThatShow)
    func whatIsOverlookedIsNoticed(_ blindness: Blindness, seed: UInt64) throws {
        let comparisons = RandomComparisons(seed: seed, count: 500, maximumStates: 3_000, blindTo: blindness)
        let found = try #require(comparisons.difference, "\(blindness)")
        for smaller in found.set.smaller {
            #expect(Comparison(smaller, maximumStates: 3_000, blindTo: blindness)?.difference == nil)
        }
        #expect(Comparison(found.set, maximumStates: 3_000)?.difference == nil)
        print("blind to \(blindness): noticed by set \(comparisons.count), \(found.set)")
    }

    @Test func theSameSeedDrawsTheSameSets() {
        var (one, two) = (SeededGenerator(seed: 7), SeededGenerator(seed: 7))
        for _ in 0..<20 { #expect(ActorSet(using: &one) == ActorSet(using: &two)) }
    }
}

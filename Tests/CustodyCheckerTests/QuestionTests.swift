import CustodyChecker
import CustodyProtocols
import Testing

/// The questions that exploration settles.
@Suite struct QuestionTests {
    @Test func noneHasLostAClaim() {
        let counts = Question.all.map { "\($0.name) \($0.claims.count)" }
        let expected = [
            "stranded-callers 6", "reference-after-type 7", "callback-only 16", "separate-registration 7",
            "truncation-while-pending 12", "subtract-or-freeze 9", "convert-back-and-final-put 8",
            "in-place-retries 5", "last-put-under-own-lock 5", "look-up-waits-for-the-callback 4",
            "second-request-on-a-pending-page 2", "request-on-a-private-page 3", "lock-order 6",
            "sleeping-where-forbidden 3", "transient-state-survives-a-hole 3",
        ]
        #expect(counts == expected)
    }

    /// What is said of our own protocol, but for holders that the kernel does not have.
    @Test func everyClaimAboutOurVariantIsTrue() {
        for claim in Question.all.flatMap(\.claims) where claim.configuration.handover == .custody {
            guard claim.configuration.mutation == nil else { continue }
            let verdict = Checker(properties: [claim.property]).check(claim.configuration)[claim.property]
            #expect(verdict?.isProved == true, "\(claim.sentence)")
        }
    }

    @Test(arguments: 1...3)
    func anAttemptForEachHolderAndOneSuffice(_ holders: Int) throws {
        let caller = Operation(.convertToPrivate, behavior: .asksAgain)
        let others = [Operation](repeating: Operation(.hold), count: holders)
        let configuration = Configuration("holders", .version8, operations: [caller] + others)
        let analysis = try #require(RetryAnalysis(configuration))
        #expect(analysis.starves && analysis.sufficientAttempts == holders + 1)
        let bounded = RetryAnalysis(configuration, maximumStates: 3)
        #expect(bounded == nil)
        let alone = try #require(RetryAnalysis(Configuration("alone", .version8, operations: [caller])))
        #expect(!alone.starves && alone.sufficientAttempts == 1)
    }

    @Test func actorsAreReadFromTheirNames() throws {
        let pin = try ActorName.operation("pin@1:twice:reads:space-2", pages: 2)
        #expect(pin == Operation(.pin, start: PageOffset(1), accesses: 2, writes: false, addressSpace: 2))
        let all = try ActorName.operation("converter:asks-again", pages: 2)
        #expect(all == Operation(.convertToPrivate, count: 2, behavior: .asksAgain))
        #expect(throws: ActorName.ParseError.name("pni")) { try ActorName.operation("pni", pages: 1) }
        #expect(throws: ActorName.ParseError.word("often")) { try ActorName.operation("pin:often", pages: 1) }
        for pages in ["2", "0+3", "", "1+0", "+1", "18446744073709551615+1", "0+18446744073709551615"] {
            #expect(throws: ActorName.ParseError.pages(pages)) { try ActorName.operation("punch@\(pages)", pages: 2) }
        }
    }
}

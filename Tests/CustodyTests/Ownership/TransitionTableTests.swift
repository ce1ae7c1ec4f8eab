import Custody
import Testing

/// Every move there is, judged by what each party loses and gains: the two bits, and nothing of the table itself.
@Suite struct TransitionTableTests {
    @Test(arguments: Ownership.allCases, Ownership.allCases)
    func moveFollowsFromWhatEachPartyLosesOrGains(from: Ownership, to: Ownership) throws {
        let page = try PageRange(PageNumber(5))
        for initiator in Party.allCases {
            let move = OwnershipChange(range: page, from: from, to: to, initiator: initiator).move
            #expect(move == TransitionTable.move(from: from, to: to, initiator: initiator))
            let losers = Party.allCases.filter { from.allows($0) && !to.allows($0) }
            let winners = Party.allCases.filter { !from.allows($0) && to.allows($0) }
            let comment: Comment = "\(from) → \(to) by \(initiator)"
            if !Party.allCases.contains(where: to.allows) {
                #expect(move == .illegal, comment)
            } else if from == to {
                #expect(move == .stay, comment)
            } else if !Party.allCases.contains(where: from.allows) {
                #expect(move == .askTicket, comment)
            } else if let loser = losers.first {
                #expect(losers.count == 1, comment)
                let isAsked = loser == .guest && initiator == .host
                #expect(move == .handOver(from: loser, agreement: isAsked ? .asked : .implied), comment)
            } else if let winner = winners.first {
                #expect(winners.count == 1, comment)
                #expect(move == .give(to: winner), comment)
            } else {
                Issue.record("nobody loses and nobody gains: \(comment)")
            }
        }
    }

    @Test func thereIsOneRowForEachMove() {
        #expect(TransitionTable.rows.count == 32)
        let keys = TransitionTable.rows.map { [$0.from.description, $0.to.description, $0.initiator.rawValue] }
        #expect(Set(keys).count == 32)
        for row in TransitionTable.rows {
            #expect(row.move == TransitionTable.move(from: row.from, to: row.to, initiator: row.initiator))
        }
    }
}

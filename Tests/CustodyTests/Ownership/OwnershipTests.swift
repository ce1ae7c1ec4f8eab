import Custody
import Testing

@Suite struct OwnershipTests {
    @Test func fourOwnershipsAreTheSubsetsOfTwoParties() {
        let subsets = Ownership.allCases.map { ownership in Set(Party.allCases.filter { ownership.allows($0) }) }
        #expect(subsets.count == 4)
        #expect(Set(subsets).count == 4)
        #expect(Ownership.shared.allows(.host) && Ownership.shared.allows(.guest))
        #expect(!Ownership.private.allows(.host) && Ownership.private.allows(.guest))
        #expect(Ownership.host.allows(.host) && !Ownership.host.allows(.guest))
        #expect(!Ownership.inTransit.allows(.host) && !Ownership.inTransit.allows(.guest))
    }

    @Test func namesAreReadAsTheyArePrinted() {
        for ownership in Ownership.allCases { #expect(Ownership(name: ownership.description) == ownership) }
        #expect(Ownership(name: "Shared") == nil)
        #expect(Ownership(name: "") == nil)
    }

    @Test func counterparts() {
        for party in Party.allCases {
            #expect(party.counterpart != party)
            #expect(party.counterpart.counterpart == party)
        }
    }
}

import Custody
import CustodyTestSupport
import Testing

@testable import CustodyPolicy

/// The changes under way, by number and by pages.
@Suite struct ClaimTableTests {
    private func claim(_ table: inout ClaimTable, _ pages: [Range<UInt64>]) throws -> Claim {
        var changes = Changes()
        let ranges = try pages.map { try PageRange(pages: $0) }
        for range in ranges {
            changes.append(OwnershipChange(range: range, from: .shared, to: .private, initiator: .host))
        }
        let request = ConversionRequest(try #require(ranges.first), to: .private, by: .host("vmm"))
        let work = Work(
            id: table.reserve(),
            request: request,
            range: request.range,
            changes: changes,
            terms: PolicyTerms()
        )
        return Claim(work: work, phase: .draining)
    }

    private func add(_ table: inout ClaimTable, _ pages: Range<UInt64>...) throws -> ClaimID {
        let claim = try claim(&table, pages)
        table.add(claim)
        return claim.work.id
    }

    /// A place that is free is used again, and an old number does not lead to who has it now.
    @Test func placesAreUsedAgainAndNumbersAreNot() throws {
        var table = ClaimTable()
        let first = try add(&table, 0..<4)
        _ = try add(&table, 8..<12)
        var old = [first]
        for round in 0..<100 {
            let last = try #require(old.last)
            #expect(table.remove(last) != nil && table.remove(last) == nil, "once")
            old.append(try add(&table, 0..<4))
            #expect(table.placeCount == 2 && table.count == 2, "round \(round)")
            #expect(old.dropLast().allSatisfy { table[$0] == nil })
        }
        let last = try #require(old.last)
        table[first]?.phase = .running
        #expect(table[last]?.phase == .draining, "what is over cannot be changed")
    }

    /// Pages are found in the claim that has them, however many runs it has, and not after its end.
    @Test func pagesAreFoundAsLongAsTheyAreClaimed() throws {
        var table = ClaimTable()
        let range = try PageRange(pages: 0..<64)
        let late = try add(&table, 30..<34)
        let early = try add(&table, 2..<4, 10..<12, 40..<44)
        #expect(table.meeting(range).map(\.work.id) == [late, early], "once each, the oldest first")
        #expect(table.firstPage(in: range) == PageNumber(2))
        #expect(table.meeting(try PageRange(pages: 4..<10)).isEmpty)
        _ = table.remove(early)
        #expect(table.meeting(range).map(\.work.id) == [late] && table.firstPage(in: range) == PageNumber(30))
        _ = table.remove(late)
        #expect(table.isEmpty && table.meeting(range).isEmpty && table.firstPage(in: range) == nil)
    }

    /// What the back end completes is found by its number there, from when it is awaited until it is not.
    @Test func whatIsAwaitedIsFound() throws {
        var table = ClaimTable()
        let id = try add(&table, 0..<4)
        let (one, other) = (BackendHandover(rawValue: 7), BackendHandover(rawValue: 8))
        #expect(table.awaiting(one) == nil)
        table[id]?.phase = .awaiting(one)
        #expect(table.awaiting(one) == id)
        table[id]?.phase = .awaiting(other)
        #expect(table.awaiting(one) == nil && table.awaiting(other) == id)
        table[id]?.phase = .running
        #expect(table.awaiting(other) == nil)
        table[id]?.phase = .awaiting(one)
        _ = table.remove(id)
        #expect(table.awaiting(one) == nil)
    }
}

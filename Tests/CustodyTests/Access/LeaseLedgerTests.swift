import Custody
import CustodyTestSupport
import SimulationBackend
import Testing

/// The ledger against a plain list of intervals.
@Suite struct LeaseLedgerTests {
    @Test func agreesWithAListOfIntervals() throws {
        var (random, note) = Seed.generator("LeaseLedger")
        let count = 300 as UInt64
        var ledger = LeaseLedger()
        var list: [(id: LeaseID, entry: LeaseLedger.Entry)] = []
        for step in 0..<3000 {
            let wantsMore = step % 600 < 300
            if list.isEmpty || random.next(upperBound: UInt64(10)) < (wantsMore ? 7 : 3) {
                let entry = LeaseLedger.Entry(
                    range: try pages(&random, count),
                    kind: LeaseKind.allCases.randomElement(using: &random) ?? .pin,
                    holder: Holder(device: "d\(step)"),
                    since: Timestamp(rawValue: UInt64(step))
                )
                list.append((ledger.enter(entry), entry))
            } else {
                let gone = list.remove(at: Int(random.next(upperBound: UInt64(list.count))))
                #expect(ledger.remove(gone.id) == gone.entry)
                #expect(ledger.remove(gone.id) == nil, "a lease is taken out once")
            }
            let query = try pages(&random, count)
            let inform: Comment = "\(note), step \(step), \(query)"
            let meeting = list.filter { $0.entry.range.overlaps(query) }
            try #require(ledger.isLeased(query) == !meeting.isEmpty, inform)
            let first = meeting.map { max($0.entry.range.start, query.start) }.min()
            try #require(ledger.firstLeased(in: query) == first, inform)
            let expected = blockers(meeting, query)
            try #require(ledger.blockers(of: query) == expected, inform)
            try #require(ledger.entries.count == list.count, inform)
            let held = ledger.leases(meeting: query)
            try #require(held.map(\.lease) == meeting.map(\.id).sorted(), inform)
            try #require(
                held.map(\.range) == meeting.sorted { $0.id < $1.id }.compactMap { $0.entry.range.intersection(query) }
            )
        }
        for lease in list { #expect(ledger.remove(lease.id) != nil) }
        #expect(try !ledger.isLeased(PageRange(pages: 100..<(100 + count))))
        #expect(ledger.entries.isEmpty)
    }

    private func blockers(_ meeting: [(id: LeaseID, entry: LeaseLedger.Entry)], _ query: PageRange) -> [Blocker] {
        var cut: [(id: LeaseID, blocker: Blocker)] = []
        for (id, entry) in meeting {
            guard let held = entry.range.intersection(query) else { continue }
            cut.append((id, Blocker(holder: entry.holder, range: held, kind: entry.kind, since: entry.since)))
        }
        cut.sort { first, second in
            let (one, other) = (first.blocker.range.start, second.blocker.range.start)
            return one == other ? first.id < second.id : one < other
        }
        return cut.map(\.blocker)
    }

    private func pages(_ random: inout SplitMix64, _ count: UInt64) throws -> PageRange {
        let start = random.next(upperBound: count)
        let length = 1 + random.next(upperBound: min(count - start, 40))
        return try PageRange(pages: (100 + start)..<(100 + start + length))
    }

    @Test func numbersAreNotReused() throws {
        var ledger = LeaseLedger()
        let entry = LeaseLedger.Entry(
            range: try PageRange(pages: 0..<4),
            kind: .pin,
            holder: Holder(device: "d"),
            since: .zero
        )
        let first = ledger.enter(entry)
        #expect(ledger.remove(first) != nil)
        #expect(ledger.enter(entry) > first)
    }
}

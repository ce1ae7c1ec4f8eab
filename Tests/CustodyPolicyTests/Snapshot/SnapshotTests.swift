import Custody
import CustodyPolicy
import CustodyTestSupport
import Foundation
import SimulationBackend
import Testing

@Suite struct SnapshotTests {
    /// What a reader says of a snapshot in which one part has been replaced by another; `nil` where it takes it.
    private static func error(changing snapshot: ControllerSnapshot) throws -> (String, String) -> String? {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let good = String(decoding: try encoder.encode(snapshot), as: UTF8.self)
        return { part, other in
            guard good.contains(part) else { return "‘\(part)’ is not in \(good)" }
            let text = good.replacingOccurrences(of: part, with: other)
            do {
                _ = try JSONDecoder().decode(ControllerSnapshot.self, from: Data(text.utf8))
                return nil
            } catch DecodingError.dataCorrupted(let context) {
                let path = context.codingPath.map { $0.intValue.map(String.init) ?? $0.stringValue }
                return "\(path.joined(separator: ".")): \(context.debugDescription)"
            } catch {
                return "\(error)"
            }
        }
    }

    /// Shares for a while only.
    private struct ForAWhile: Policy {
        func decide(
            _ request: ConversionRequest,
            in view: PolicyView,
            remembering memory: inout PolicyMemory
        ) -> PolicyDecision {
            memory["asked"] = view.now
            guard request.target == .shared else { return .allow }
            return .allow(PolicyTerms(returnsAfter: .milliseconds(10)), PolicyReason(rule: "box", "for a while"))
        }
    }

    private func roundTrip(_ snapshot: ControllerSnapshot) throws -> ControllerSnapshot {
        try JSONDecoder().decode(ControllerSnapshot.self, from: JSONEncoder().encode(snapshot))
    }

    @Test func itHasEverythingAndReadsBack() throws {
        let fixture = try ControllerFixture(policy: ForAWhile())
        try fixture.convert(40..<44, to: .private)
        try fixture.convert(40..<42, to: .shared)
        var held = try fixture.pending(0..<4, pinned: 1..<3, deadline: .seconds(5), by: .guest(processor: 1))
        fixture.controller.mark("launched")
        let snapshot = fixture.controller.snapshot()
        #expect(snapshot.inconsistency == nil)
        #expect(snapshot.ownership.map { "\($0.ownership)" } == ["in-transit", "shared", "private", "shared"])
        #expect(snapshot.leases.map(\.holder.device) == ["nic"])
        let handover = try #require(snapshot.handovers.first)
        #expect(handover.ticket == TicketID(rawValue: 1) && handover.requester == .guest(processor: 1))
        #expect(handover.transits.map(\.range) == [try PageRange(pages: 0..<4)])
        #expect(handover.transits.map(\.before) == [.shared])
        #expect(handover.deadline == Timestamp(rawValue: 5_000_000_000))
        #expect(snapshot.timeBoxes.map(\.ranges) == [[try PageRange(pages: 40..<42)]])
        #expect(Set(snapshot.memory.marks.keys) == ["asked", "launched"])
        #expect(snapshot.tally.exposed == 62 && snapshot.tally.inTransit == 4)
        #expect(try roundTrip(snapshot) == snapshot)
        held.release()
        fixture.clock.drain()
        let later = fixture.controller.snapshot()
        let difference = later.difference(from: snapshot)
        #expect(difference.ownership.map { "\($0)" } == ["\(try PageRange(pages: 0..<4)) in-transit → private"])
        #expect(difference.ended.map(\.ticket) == [TicketID(rawValue: 1)] && difference.released.count == 1)
        #expect(difference.description.split(separator: "\n").count == 3)
        #expect(later.difference(from: later).isEmpty && "\(later.difference(from: later))" == "nothing")
    }

    @Test func whatDoesNotAgreeIsNotRead() throws {
        let fixture = try ControllerFixture()
        let held = try fixture.pending(0..<4, pinned: 1..<3)
        let good = String(decoding: try JSONEncoder().encode(fixture.controller.snapshot()), as: UTF8.self)
        func isRead(_ text: String) -> Bool {
            (try? JSONDecoder().decode(ControllerSnapshot.self, from: Data(text.utf8))) != nil
        }
        #expect(isRead(good))
        for (part, other) in [
            (#""version":1"#, #""version":2"#), (#""in-transit""#, #""private""#),
            (#""nextTicket":2"#, #""nextTicket":1"#),
            (#""exposed":64"#, #""exposed":63"#), (#""inTransit":4"#, #""inTransit":5"#),
            (#""before":"shared""#, #""before":"in-transit""#), (#""count":60"#, #""count":59"#),
            (#""granularity":4096"#, #""granularity":4097"#), (#""count":60"#, #""count":18446744073709551615"#),
        ] {
            #expect(good.contains(part), "\(part)")
            #expect(!isRead(good.replacingOccurrences(of: part, with: other)), "\(part) as \(other)")
        }
        _ = consume held
    }

    /// Pages that are in two changes or in none, leases of what is not there, boxes of what is not shared.
    @Test func pagesThatDoNotAgreeAreNotRead() throws {
        let fixture = try ControllerFixture(policy: ForAWhile())
        try fixture.convert(0..<4, to: .host)
        try fixture.convert(40..<56, to: .private)
        try fixture.convert(40..<42, to: .shared)
        try fixture.convert(50..<52, to: .shared)
        fixture.backend.plan { $0.commit[5] = .pend }
        let ticket = try #require(try fixture.convert(0..<4, to: .private).ticket)
        let lease = try fixture.lease(60..<62)
        let error = try SnapshotTests.error(changing: fixture.controller.snapshot())
        let range = try PageRange(pages: 0..<4)
        let transit = #"{"before":"host","range":{"count":4,"page":0}}"#
        #expect(error(transit, transit) == nil)
        #expect(
            error(transit, transit + "," + transit)
                == "changes.0.transits.1: \(range) changes hands, and is not in transit, or twice"
        )
        let part = #"{"before":"host","range":{"count":2,"page":0}}"#
        #expect(error(transit, part) == "ownership.0: \(range) is in transit, and nothing changes it")
        let rest = #"{"before":"host","range":{"count":2,"page":2}}"#
        #expect(error(transit, part + "," + rest) == nil)
        #expect(
            error(#"{"count":2,"page":60}"#, #"{"count":2,"page":63}"#)?.hasPrefix("leases.0.range: a lease of ")
                == true
        )
        let boxes = #"[{"count":2,"page":40},{"count":2,"page":50}]"#
        #expect(error(boxes, boxes) == nil)
        let wrong = "a time box has pages that are not shared"
        #expect(error(boxes, #"[{"count":2,"page":40},{"count":2,"page":52}]"#) == "timeBoxes.0.ranges.1: \(wrong)")
        #expect(error(boxes, #"[{"count":2,"page":44},{"count":2,"page":50}]"#) == "timeBoxes.0.ranges.0: \(wrong)")
        let twice = "timeBoxes.0.ranges.1: \(try PageRange(pages: 40..<41)) is in two time boxes"
        #expect(error(boxes, #"[{"count":2,"page":40},{"count":1,"page":40}]"#) == twice)
        #expect(ticket.cancel())
        lease.release()
    }

    /// What was on its way to be shared counts as shared again, and has its deadline again; of a time box stays what is
    /// shared still.
    @Test func aRestartGoesOnWithThePoolAndTheDeadline() throws {
        let fixture = try ControllerFixture(initially: .private, policy: ForAWhile())
        try fixture.convert(8..<12, to: .shared)
        fixture.backend.plan { $0.commit[2] = .pend }
        let whenHeld = ConversionRequest.WhenHeld.handOver(deadline: .seconds(5))
        let held = try #require(try fixture.convert(0..<4, to: .shared, whenHeld: whenHeld).ticket)
        let snapshot = try roundTrip(fixture.controller.snapshot())

        let clock = VirtualExecutor()
        let back = FakeBackend(try GuestMemoryLayout(pages: 0..<64), initially: .private, executor: clock)
        let still = try PageRange(pages: 8..<10)
        back.startFrom { $0.set(still, to: .shared) }
        back.plan { $0.commit[1] = .pend }
        let pool = SharedPool(pages: 100)
        let controller = MemoryController(backend: back, policy: AllowAll(), pool: pool, restoring: snapshot)
        #expect(controller.restoration?.resumed == [held.id] && controller.restoration?.timeBoxes == [still])
        #expect(pool.usedPages == 6)
        let ticket = try #require(controller.pendingTickets.first)
        clock.drain()
        #expect(ticket.result == nil && back.waiting.count == 1)
        clock.pass(.milliseconds(10))
        #expect(controller.tally.shared == 0 && pool.usedPages == 4, "the time of the box is over")
        clock.pass(.seconds(5))
        #expect(ticket.result?.word == "expired" && pool.usedPages == 0)
        #expect(back.violations.isEmpty && back.openChanges.isEmpty && controller.snapshot().inconsistency == nil)
    }

    /// Numbers that would trap, or mean something else, where a controller goes on from them.
    @Test func numbersHaveRoomForWhatComes() throws {
        let fixture = try ControllerFixture(policy: ForAWhile())
        try fixture.convert(40..<44, to: .private)
        try fixture.convert(40..<42, to: .shared)
        let held = try fixture.pending(0..<4, pinned: 1..<3, deadline: .seconds(5))
        let other = try fixture.pending(8..<10, pinned: 9..<10)
        let error = try SnapshotTests.error(changing: fixture.controller.snapshot())
        func next(_ number: String) -> String {
            "nextTicket: the next hand-over has the number \(number), which is not from 1 to 4611686018427387904"
        }
        let number = "changes.1.ticket: a hand-over has a number that has not been given out"
        #expect(error(#""nextTicket":3"#, #""nextTicket":18446744073709551615"#) == next("18446744073709551615"))
        #expect(error(#""nextTicket":3"#, #""nextTicket":4611686018427387905"#) == next("4611686018427387905"))
        #expect(error(#""nextTicket":3"#, #""nextTicket":0"#) == next("0"))
        #expect(error(#""nextTicket":3"#, #""nextTicket":2"#) == number)
        #expect(error(#""nextTicket":3"#, #""nextTicket":4611686018427387904"#) == nil)
        #expect(error(#""ticket":2"#, #""ticket":0"#) == number)
        #expect(error(#""ticket":2"#, #""ticket":1"#) == "changes.1.ticket: two hand-overs have one number")
        #expect(error(#""id":2"#, #""id":1"#) == "leases.1.id: two leases have one number")
        let tried = "changes.0.attempts: a hand-over has been tried less than never, or too often"
        #expect(error(#""attempts":0"#, #""attempts":-1"#) == tried)
        #expect(error(#""attempts":0"#, #""attempts":9223372036854775807"#) == tried)
        let period = #""period":[0,10000000000000000]"#
        let box = "timeBoxes.0.period: a time span is out of range"
        // Attoseconds, in 128 bits: more than a number of seconds holds, a negative one, the longest.
        #expect(error(period, #""period":[9223372036854775807,18446744073709551615]"#) == box)
        #expect(error(period, #""period":[-1,0]"#) == box)
        #expect(error(period, #""period":[499999999,18446744072709551616]"#) == nil)
        #expect(
            error(#""terms":{}"#, #""terms":{"deadline":[9223372036854775807,0]}"#)
                == "changes.0.terms.deadline: a time span is out of range"
        )
        let endless = #""terms":{"retry":{"attempts":3,"first":[1,0],"longest":[9223372036854775807,0]}}"#
        #expect(error(#""terms":{}"#, endless) == "changes.0.terms.retry.longest: a time span is out of range")
        _ = consume held
        _ = consume other
    }

    /// What nobody can be, and what cannot have begun yet.
    @Test func namesAndTimesAreThoseOfSomebody() throws {
        let fixture = try ControllerFixture(policy: ForAWhile())
        fixture.clock.pass(.milliseconds(3))
        let held = try fixture.pending(0..<4, pinned: 1..<3, by: .guest(processor: 1))
        let other = try fixture.pending(8..<10, pinned: 9..<10)
        fixture.controller.mark("launched")
        let snapshot = fixture.controller.snapshot()
        let error = try SnapshotTests.error(changing: snapshot)
        #expect(
            error(#""requester":{"guest":1}"#, #""requester":{"guest":-1}"#)
                == "changes.0.requester.guest: a processor has the number -1"
        )
        #expect(
            error(#""requester":{"guest":1}"#, #""requester":{"host":""}"#)
                == "changes.0.requester.host: a requester has no name"
        )
        #expect(
            error(#""requester":{"guest":1}"#, #""requester":{"device":""}"#)
                == "changes.0.requester.device: a requester has no name"
        )
        #expect(error(#""device":"nic""#, #""device":"""#) == "leases.0.holder.device: a holder has no name")
        #expect(error(#""launched":"#, #""":"#) == "memory.marks.: a mark has no name")
        let later = "this is later than the time of the snapshot, 3000000 ns"
        #expect(error(#""since":3000000"#, #""since":3000001"#) == "leases.0.since: \(later)")
        #expect(
            error(#""since":3000000,"target":"#, #""since":3000001,"target":"#) == "changes.0.since: \(later)"
        )
        let regions = #"[{"count":64,"page":0},{"count":8,"page":70},{"count":2,"page":71}]"#
        #expect(error(#"[{"count":64,"page":0}]"#, regions)?.hasPrefix("layout.regions.2: the regions ") == true)
        // A rule may remember a time that is to come.
        #expect(error(#""launched":3000000"#, #""launched":9000000"#) == nil)
        _ = consume held
        _ = consume other
    }

    @Test func aRestartGoesOnWhereTheBackEndIs() throws {
        let fixture = try ControllerFixture(policy: ForAWhile())
        try fixture.convert(40..<44, to: .private)
        try fixture.convert(40..<42, to: .shared)
        fixture.clock.pass(.milliseconds(3))
        let first = try fixture.pending(0..<4, pinned: 1..<3, deadline: .seconds(5))
        let second = try fixture.pending(8..<10, pinned: 9..<10)
        let third = try fixture.pending(12..<14, pinned: 13..<14)
        fixture.controller.mark("launched")
        fixture.clock.pass(.milliseconds(2))
        let snapshot = try roundTrip(fixture.controller.snapshot())

        // The guest is there still: the second has completed meanwhile, the third's page has gone to the host.
        let clock = VirtualExecutor()
        let back = FakeBackend(try GuestMemoryLayout(pages: 0..<64), executor: clock)
        let changed: [(PageRange, Ownership)] = [
            (try PageRange(pages: 8..<10), .private), (try PageRange(pages: 12..<13), .host),
            (try PageRange(pages: 42..<44), .private),
        ]
        back.startFrom { map in
            for (pages, ownership) in changed { map.set(pages, to: ownership) }
        }
        clock.pass(.milliseconds(1))
        let log = EventLog()
        let controller = MemoryController(backend: back, policy: AllowAll(), observer: log, restoring: snapshot)
        let report = try #require(controller.restoration)
        #expect(report.resumed == [TicketID(rawValue: 1)] && report.completed == [TicketID(rawValue: 2)])
        #expect(report.lost.map(\.ticket) == [TicketID(rawValue: 3)])
        #expect(report.ownership.map(\.after) == [.host] && report.leases.count == 3)
        #expect(report.timeBoxes == [try PageRange(pages: 40..<42)])
        #expect(!report.isExact && report.description.contains("is complete"))
        #expect(controller.snapshot().inconsistency == nil)
        let ticket = try #require(controller.pendingTickets.first)
        #expect(ticket.id == TicketID(rawValue: 1) && ticket.deadline == Timestamp(rawValue: 4_999_000_000))
        // A mark keeps its age as far as there is time before it.
        #expect(controller.snapshot().memory["launched"] == .zero)
        clock.drain()
        guard case .completed? = ticket.result else {
            Issue.record("not resumed: \(ticket)")
            return
        }
        clock.pass(.milliseconds(4))
        #expect(controller.ownership(of: PageNumber(40)) == .shared, "five of its ten milliseconds are left")
        clock.pass(.milliseconds(1))
        #expect(controller.ownership(of: PageNumber(40)) == .private)
        #expect(back.violations == [] && back.openChanges == [])
        // Numbers are not given out again.
        let lease = try controller.lease(PageRange(pages: 20..<21), .pin, for: Holder(device: "nic"))
        let outcome = try controller.convert(
            ConversionRequest(PageRange(pages: 20..<21), to: .private, by: .host("vmm"))
        )
        #expect(outcome.ticket?.id == TicketID(rawValue: 4))
        lease.release()
        _ = consume first
        _ = consume second
        _ = consume third
    }

    /// What a thread saw that took snapshots all the while.
    private final class Sightings: Sendable {
        let seen = Locked<(handovers: Int, wrong: [String])>((0, []))

        func take(_ snapshot: ControllerSnapshot) {
            seen.withLock { seen in
                seen.handovers += snapshot.handovers.count
                if let wrong = snapshot.inconsistency { seen.wrong.append(wrong) }
            }
        }
    }

    /// Converts and leases pages by chance.
    @Sendable private static func work(_ number: Int, on controller: MemoryController, _ seed: UInt64) {
        var random = SplitMix64(seed: seed &+ UInt64(number))
        for _ in 0..<300 {
            let low = random.next(upperBound: 44 as UInt64)
            guard let range = try? PageRange(pages: low..<(low + 1 + random.next(upperBound: 4 as UInt64))) else {
                continue
            }
            if random.next() % 2 == 0 {
                do {
                    let lease = try controller.lease(range, .pin, for: Holder(device: "t\(number)"))
                    controller.backend.executor.pass(.microseconds(50))
                    lease.release()
                } catch { continue }
            } else {
                let target: Ownership = random.next() % 2 == 0 ? .shared : .private
                _ = try? controller.convert(ConversionRequest(range, to: target, by: .host("t\(number)")))
            }
        }
    }

    @Test func eightBusyThreadsNeverMakeItDisagree() async throws {
        let executor = try ThreadExecutor()
        let back = FakeBackend(try GuestMemoryLayout(pages: 0..<48), executor: executor)
        back.plan { plan in
            for number in stride(from: 5, to: 40_000, by: 7) { plan.commit[number] = .pendAndComplete }
            for number in stride(from: 6, to: 40_000, by: 11) {
                plan.commit[number] = .fail(BackendError(.system, "EIO"))
            }
        }
        let controller = MemoryController(backend: back, policy: ForAWhile())
        let sightings = Sightings()
        let seed = Seed.value()
        print("Snapshots: CUSTODY_SEED=\(seed)")
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<9 {
                group.addTask {
                    await withCheckedContinuation { continuation in
                        try? Thread.start {
                            if number < 8 {
                                SnapshotTests.work(number, on: controller, seed)
                            } else {
                                for _ in 0..<2_000 { sightings.take(controller.snapshot()) }
                            }
                            continuation.resume()
                        }
                    }
                }
            }
        }
        executor.drain()
        let (handovers, wrong) = sightings.seen.withLock { $0 }
        #expect(wrong == [])
        #expect(handovers > 0, "there was something to disagree about")
        #expect(controller.snapshot().inconsistency == nil)
    }
}

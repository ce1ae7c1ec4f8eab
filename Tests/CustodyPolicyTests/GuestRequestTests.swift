import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// What a guest sends is untrusted.
@Suite struct GuestRequestTests {
    private func ask(
        _ fixture: ControllerFixture,
        _ address: UInt64,
        _ byteCount: UInt64,
        _ target: Ownership = .private
    ) -> GuestReply {
        fixture.controller.handle(GuestRequest(processor: 0, address: address, byteCount: byteCount, target: target))
    }

    @Test func hostileNumbersAreRefusedAndChangeNothing() throws {
        let fixture = try ControllerFixture(pages: 16..<64)
        let numbers: [UInt64] = [
            0, 1, 4095, 4096, 4097, 0xffff, 0x10000, 0x3f000, 0x40000, 1 << 32, 1 << 52, 1 << 63, .max - 4095, .max - 1,
            .max,
        ]
        for address in numbers {
            for byteCount in numbers {
                for target in Ownership.allCases {
                    let isSane =
                        address % 4096 == 0 && byteCount % 4096 == 0 && byteCount > 0
                        && address >= 0x10000 && address <= 0x40000 && byteCount <= 0x40000 - address
                        && target != .inTransit
                    let reply = ask(fixture, address, byteCount, target)
                    #expect(isSane || reply == .refused, "\(address) \(byteCount) \(target)")
                }
            }
        }
        #expect(fixture.isQuiet)
    }

    @Test func numbersThatAreNoRangeAreSeen() throws {
        let fixture = try ControllerFixture()
        #expect(ask(fixture, 1, 4096) == .refused)
        #expect(ask(fixture, 0, 0) == .refused)
        #expect(fixture.events.words == ["malformed", "malformed"])
    }

    @Test func randomNumbersNeverTrap() throws {
        var (random, note) = Seed.generator("guest requests")
        let fixture = try ControllerFixture(pages: 0..<64)
        for _ in 0..<3000 {
            let address = random.next() >> random.next(upperBound: UInt64(64)) & (random.next() % 2 == 0 ? ~4095 : .max)
            let count = random.next() >> random.next(upperBound: UInt64(64)) & (random.next() % 2 == 0 ? ~4095 : .max)
            _ = ask(fixture, address, count, Ownership.allCases.randomElement(using: &random) ?? .private)
        }
        #expect(fixture.isQuiet, "\(note)")
    }

    @Test func doneRefusedAndRetry() throws {
        let fixture = try ControllerFixture()
        #expect(ask(fixture, 0, 16384) == .done)
        #expect(ask(fixture, 0, 16384) == .done)
        #expect(ask(fixture, 0, 16384, .inTransit) == .refused)
        let pin = try fixture.lease(8..<9)
        #expect(ask(fixture, 8 * 4096, 4096) == .retry(from: GuestPhysicalAddress(8 * 4096)))
        #expect(ask(fixture, 8 * 4096, 4096) == .retry(from: GuestPhysicalAddress(8 * 4096)), "it joins what it began")
        #expect(fixture.controller.pendingTickets.count == 1)
        pin.release()
        fixture.clock.drain()
        #expect(ask(fixture, 8 * 4096, 4096) == .done)
        #expect(fixture.isQuiet)
    }

    /// The retry address is the first page that is not yet as asked, and what is before it is done.
    @Test func progressIsAPrefix() throws {
        let fixture = try ControllerFixture(pages: 0..<16)
        try fixture.convert(4..<8, to: .private)
        let pin = try fixture.lease(9..<10)
        #expect(ask(fixture, 0, 16 * 4096) == .retry(from: GuestPhysicalAddress(8 * 4096)))
        #expect(fixture.map == "PPPPPPPP--------")
        pin.release()
        fixture.clock.drain()
        #expect(ask(fixture, 8 * 4096, 8 * 4096) == .done)
        #expect(fixture.map == "PPPPPPPPPPPPPPPP")
    }

    /// Every run that has changed counts, and no other.
    @Test func whatHasChangedIsTheSumOfAllRuns() throws {
        let fixture = try ControllerFixture(pages: 0..<16)
        for low in [2, 7] as [UInt64] { try fixture.convert(low..<(low + 3), to: .private) }
        let pin = try fixture.lease(12..<13)
        let outcome = try fixture.convert(0..<16, to: .private, extent: .prefix(maximumRuns: 9))
        #expect(outcome.word == "pending" && outcome.changedPages == 4 && outcome.stoppedAt == PageNumber(10))
        pin.release()
        fixture.clock.drain()
        let back = try fixture.convert(0..<16, to: .shared, extent: .prefix(maximumRuns: 9))
        #expect(back.isCompleted && back.changedPages == 16)
    }

    @Test func theWorkForOneRequestIsBounded() throws {
        let fixture = try ControllerFixture(pages: 0..<64, limits: ControllerLimits(runsPerGuestRequest: 5))
        for page in stride(from: 1, to: 64, by: 2) as StrideTo<UInt64> {
            try fixture.convert(page..<(page + 1), to: .private)
        }
        fixture.backend.forgetCalls()
        var address: UInt64 = 0
        var rounds = 0
        loop: while rounds < 100 {
            rounds += 1
            switch ask(fixture, address, 64 * 4096 - address) {
            case .done: break loop
            case .retry(let next):
                #expect(next.rawValue > address, "each round gets on")
                address = next.rawValue
            case .refused:
                Issue.record("refused at \(address)")
                break loop
            }
            let commits = fixture.backend.calls.filter { if case .commit = $0 { true } else { false } }.count
            #expect(commits <= rounds * 5)
        }
        #expect(rounds == 13, "64 runs, five at a time")
        #expect(fixture.map == String(repeating: "P", count: 64))
    }

    @Test func thePagesForOneRequestAreBounded() throws {
        let limits = ControllerLimits(pagesPerGuestRequest: 10)
        let fixture = try ControllerFixture(pages: 0..<64, limits: limits)
        #expect(ask(fixture, 0, 64 * 4096) == .retry(from: GuestPhysicalAddress(10 * 4096)))
        #expect(fixture.map == String(repeating: "P", count: 10) + String(repeating: "S", count: 54))
        // What is private already costs nothing: the next round gets ten pages further.
        #expect(ask(fixture, 0, 64 * 4096) == .retry(from: GuestPhysicalAddress(20 * 4096)))
        #expect(ask(fixture, 60 * 4096, 4 * 4096) == .done)
    }

    /// What is less than a unit of ownership counts as one: each round gets on.
    @Test(arguments: [1, 100, 512, 1000] as [UInt64]) func oneUnitAtLeast(pages: UInt64) throws {
        let layout = try GuestMemoryLayout(regions: [PageRange(pages: 0..<2048)], granularity: .large)
        let controller = MemoryController(
            backend: FakeBackend(layout, executor: VirtualExecutor()),
            policy: AllowAll(),
            limits: ControllerLimits(pagesPerGuestRequest: pages)
        )
        let all = GuestRequest(processor: 0, address: 0, byteCount: 2048 * 4096, target: .private)
        for round in 1...3 as ClosedRange<UInt64> {
            #expect(controller.handle(all) == .retry(from: GuestPhysicalAddress(round * 512 * 4096)))
            #expect(controller.tally.private == round * 512)
        }
        #expect(controller.handle(all) == .done)
    }

    @Test func aRunThatFailsLaterLeavesThePrefix() throws {
        let fixture = try ControllerFixture(pages: 0..<8)
        try fixture.convert(2..<4, to: .private)
        fixture.backend.plan { $0.prepare[3] = BackendError(.system, "EIO") }
        #expect(ask(fixture, 0, 8 * 4096) == .refused)
        #expect(fixture.map == "PPPPSSSS")
        fixture.backend.plan { $0.prepare[4] = BackendError(.system, "EIO") }
        let outcome = try fixture.convert(0..<8, to: .private, extent: .prefix(maximumRuns: 9))
        #expect(outcome.word == "stopped" && outcome.stoppedAt == PageNumber(4))
        #expect(try outcome.completedPrefix == PageRange(pages: 0..<4))
        #expect(fixture.isQuiet)
    }

    @Test func guestsHandOversHaveTheirDeadline() throws {
        let fixture = try ControllerFixture(limits: ControllerLimits(guestDeadline: .milliseconds(2)))
        let pin = try fixture.lease(0..<1)
        _ = ask(fixture, 0, 4096)
        let ticket = try #require(fixture.controller.pendingTickets.first)
        fixture.clock.pass(.milliseconds(2))
        #expect(ticket.result?.word == "expired")
        pin.release()
        #expect(fixture.isQuiet)
    }
}

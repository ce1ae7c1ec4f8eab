import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// A change of several runs that fails half-way leaves everything as it was.
@Suite struct RollbackTests {
    private static let runs = 5

    /// Five shared runs of two pages with private ones between them.
    private func fixture() throws -> ControllerFixture {
        let fixture = try ControllerFixture(pages: 0..<20)
        for start in stride(from: 2, to: 20, by: 4) as StrideTo<UInt64> {
            try fixture.convert(start..<(start + 2), to: .private)
        }
        fixture.backend.forgetCalls()
        return fixture
    }

    private func check(_ fixture: ControllerFixture, _ before: String, _ note: Comment) throws {
        #expect(fixture.map == before, note)
        #expect(fixture.isQuiet, note)
        #expect(try fixture.refusal(0..<20, to: .private) == nil, "it can be asked for again: \(note)")
        #expect(fixture.map == String(repeating: "P", count: 20), note)
    }

    @Test(arguments: 1...runs)
    func failedPrepare(number: Int) throws {
        let fixture = try fixture()
        let before = fixture.map
        // Converting the private runs took five calls of each kind already.
        fixture.backend.plan { $0.prepare[Self.runs + number] = BackendError(.resourcesExhausted, "no slot") }
        #expect(try fixture.refusal(0..<20, to: .private) == .backend)
        let calls = fixture.backend.calls
        #expect(calls.filter { if case .prepare = $0 { true } else { false } }.count == number)
        #expect(calls.filter { if case .release = $0 { true } else { false } }.count == number - 1)
        #expect(calls.count == 2 * number - 1, "nothing else is called")
        try check(fixture, before, "prepare \(number)")
    }

    @Test(arguments: 1...runs)
    func failedCommit(number: Int) throws {
        let fixture = try fixture()
        let before = fixture.map
        fixture.backend.plan { $0.commit[Self.runs + number] = .fail(BackendError(.system, "EIO")) }
        var cause: BackendError?
        do { try fixture.convert(0..<20, to: .private) } catch let error as ConversionError { cause = error.cause }
        #expect(cause?.message == "EIO")
        var committed: [OwnershipChange] = []
        var undone: [OwnershipChange] = []
        for call in fixture.backend.calls {
            switch call {
            case .commit(let change): committed.append(change)
            case .undo(let change): undone.append(change)
            case .finish: Issue.record("what failed is not finished")
            default: break
            }
        }
        #expect(committed.count == number)
        #expect(undone == committed.dropLast().reversed(), "the last one first")
        try check(fixture, before, "commit \(number)")
    }

    /// A back end that sees references of its own in the middle: blocked, and nothing registered.
    @Test(arguments: 1...runs)
    func blockedCommit(number: Int) throws {
        let fixture = try fixture()
        let before = fixture.map
        let blocker = Blocker(
            holder: Holder(device: "vfio"),
            range: try PageRange(pages: 16..<17),
            kind: .pin,
            since: .zero
        )
        fixture.backend.plan { $0.commit[Self.runs + number] = .block([blocker]) }
        let outcome = try fixture.convert(0..<20, to: .private)
        #expect(outcome.blockers == [blocker])
        #expect(outcome.changedPages == 0)
        try check(fixture, before, "blocked commit \(number)")
    }

    /// The back end would complete it by itself, and nobody may wait for that.
    @Test(arguments: 1...runs)
    func pendingCommitOfWhoOnlyWantsAReport(number: Int) throws {
        let fixture = try fixture()
        let before = fixture.map
        fixture.backend.plan { $0.commit[Self.runs + number] = .pend }
        let outcome = try fixture.convert(0..<20, to: .private, whenHeld: .report)
        #expect(outcome.word == "blocked" && outcome.changedPages == 0)
        #expect(!fixture.backend.calls.contains { if case .finish = $0 { true } else { false } })
        try check(fixture, before, "pending commit \(number)")
    }

    /// A hand-over that is pending at the n-th run and is then given up or withdrawn.
    @Test(arguments: 1...runs, ["fails", "is cancelled", "expires", "is converted back"])
    func pendingCommit(number: Int, end: String) throws {
        let fixture = try fixture()
        let before = fixture.map
        fixture.backend.plan { $0.commit[Self.runs + number] = .pend }
        let outcome = try fixture.convert(0..<20, to: .private, whenHeld: .handOver(deadline: .seconds(1)))
        let ticket = try #require(outcome.ticket)
        #expect(fixture.map == String(before.map { $0 == "S" ? "-" : $0 }))
        let handover = try #require(fixture.backend.waiting.first)
        switch end {
        case "fails": fixture.backend.fail(handover, BackendError(.guestFailed, "no answer"))
        case "is cancelled": #expect(ticket.cancel())
        case "expires": fixture.clock.pass(.seconds(1))
        default:
            #expect(try fixture.refusal(0..<20, to: .shared) == nil)
            #expect(ticket.result?.word == "cancelled")
            #expect(fixture.map == String(repeating: "S", count: 20))
            #expect(fixture.isQuiet)
            return
        }
        fixture.clock.drain()
        #expect(ticket.result?.word == ["fails": "failed", "is cancelled": "cancelled", "expires": "expired"][end])
        try check(fixture, before, "pending commit \(number) \(end)")
    }
}

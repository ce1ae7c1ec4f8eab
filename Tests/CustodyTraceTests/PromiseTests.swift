import Custody
import CustodyPolicy
import CustodyTrace
import Testing

/// Each rule of the oracle, broken once: honest events, and one more that breaks it, beside one that does not.
@Suite struct PromiseTests {
    private typealias Script = OracleScript
    private typealias Request = OracleScript.Request

    /// A violation of a rule that is seen in events.
    struct Plant: Sendable, CustomTestStringConvertible {
        let rule: OracleRule
        let before: [String]
        let planted: String
        let honest: String
        var limits: ControllerLimits?

        init(
            _ rule: OracleRule,
            after before: [String],
            _ planted: String,
            notOf honest: String,
            limits: ControllerLimits? = nil
        ) {
            self.rule = rule
            self.before = before
            self.planted = planted
            self.honest = honest
            self.limits = limits
        }

        var testDescription: String { "\(rule.rawValue): \(planted.prefix(24))" }
    }

    static let plants: [Plant] = {
        let request = Request()
        let made =
            request.allowed + [Script.step("prepared", 0, 4), Script.step("committed", 0, 4), Script.finished(0, 4)]
        let done = request.answered("completed", changed: 4, contents: "zeroed")
        let part = Request(prefix: (runs: 8, pages: 8))
        let nic = Script.blocker(0)
        let held = [Script.lease("leased", 1, 0), Script.lease("leased", 2, 1)]
        let both = nic + "," + Script.blocker(1)
        let timed = Request(count: 2, deadline: 9)
        let waiting = [Script.lease("leased", 1, 0)] + timed.allowed + [timed.pending(1)]
        let leftAlone = "\"marked\":{\"name\":\"x\"}"
        let small = Request(prefix: (runs: 8, pages: 4))
        let second = Request(first: 4, count: 2)
        let pinned = Request(contents: "preserved")
        return [
            Plant(
                .leasedAsOwned,
                after: Script.conversion(0, 4),
                Script.lease("leased", 1, 0),
                notOf: Script.lease("leased", 1, 4)
            ),
            Plant(
                .legalMove,
                after: request.allowed,
                Script.step("prepared", 0, 4, from: "in-transit"),
                notOf: Script.step("prepared", 0, 4)
            ),
            Plant(
                .ownershipAsTold,
                after: request.allowed,
                Script.step("prepared", 0, 4, from: "host"),
                notOf: Script.step("prepared", 0, 4)
            ),
            Plant(
                .ownershipAsTold,
                after: Script.conversion(0, 4),
                Script.closed(0, 5, "private"),
                notOf: Script.closed(0, 4, "private")
            ),
            Plant(.failureChangesNothing, after: made, request.failed("backend"), notOf: done),
            Plant(
                .failureChangesNothing,
                after: waiting + [
                    Script.lease("released", 1, 0), Script.step("prepared", 0, 2), Script.step("committed", 0, 2),
                    Script.finished(0, 2),
                ],
                timed.settled(1, "\"cancelled\":{}"),
                notOf: timed.settled(1, "\"completed\":{\"contents\":\"zeroed\"}")
            ),
            Plant(
                .prefixIsDone,
                after: part.allowed,
                part.answered("deferred", stoppedAt: 2),
                notOf: part.answered("deferred", stoppedAt: 0)
            ),
            Plant(
                .pagesAreCounted,
                after: made,
                request.answered("completed", changed: 5, contents: "zeroed"),
                notOf: done
            ),
            Plant(
                .noOp,
                after: Script.conversion(0, 4) + request.allowed,
                Script.step("prepared", 0, 4, from: "private"),
                notOf: request.answered("completed")
            ),
            Plant(
                .noOp,
                after: Script.conversion(0, 4) + [request.requested],
                request.answered("blocked", stoppedAt: 0),
                notOf: request.answered("completed")
            ),
            Plant(
                .endsOnce,
                after: waiting + [timed.settled(1, "\"cancelled\":{}")],
                timed.settled(1, "\"cancelled\":{}"),
                notOf: leftAlone
            ),
            Plant(
                .endsOnce,
                after: timed.allowed,
                timed.pending(1),
                notOf: timed.answered("deferred", stoppedAt: 0)
            ),
            Plant(
                .waitsForHolders,
                after: [Script.lease("leased", 1, 0)] + request.allowed,
                Script.step("prepared", 0, 4),
                notOf: request.answered("blocked", stoppedAt: 0, blockers: nic)
            ),
            Plant(
                .waitsForHolders,
                after: [Script.lease("leased", 1, 0)] + request.allowed,
                request.answered("blocked", stoppedAt: 0, blockers: ""),
                notOf: request.answered("blocked", stoppedAt: 0, blockers: nic)
            ),
            Plant(
                .waitsForHolders,
                after: held + request.allowed,
                request.answered("blocked", stoppedAt: 0, blockers: nic),
                notOf: request.answered("blocked", stoppedAt: 0, blockers: both)
            ),
            // Of a part it is not known how far it goes.
            Plant(
                .waitsForHolders,
                after: held + part.allowed,
                part.answered("blocked", stoppedAt: 0, blockers: ""),
                notOf: part.answered("blocked", stoppedAt: 0, blockers: nic)
            ),
            Plant(
                .waitsForHolders,
                after: [Script.lease("leased", 1, 0)] + timed.allowed,
                timed.pending(1, blockers: Script.blocker(0, by: "nobody")),
                notOf: timed.pending(1)
            ),
            Plant(
                .waitsForHolders,
                after: [Script.lease("leased", 1, 0)] + timed.allowed,
                timed.pending(1, blockers: Script.blocker(0, kind: "mapping")),
                notOf: timed.pending(1)
            ),
            Plant(
                .waitsForHolders,
                after: [Script.lease("leased", 1, 0)] + timed.allowed,
                timed.pending(1, blockers: Script.blocker(0, since: 99)),
                notOf: timed.pending(1)
            ),
            Plant(
                .waitsForHolders,
                after: [Script.lease("leased", 1, 0)] + timed.allowed,
                timed.pending(1, blockers: Script.blocker(0, since: 1)),
                notOf: timed.pending(1)
            ),
            // Whoever joins a hand-over is told of the same holders.
            Plant(
                .waitsForHolders,
                after: waiting + timed.allowed,
                timed.pending(1, blockers: ""),
                notOf: timed.pending(1)
            ),
            Plant(
                .waitsForHolders,
                after: waiting,
                "\"advanced\":{\"blockers\":[\(Script.blocker(0, by: "guest", since: 99))],\"ticket\":\(timed.ticket(1))}",
                notOf: "\"advanced\":{\"blockers\":[\(Script.blocker(0, by: "guest"))],\"ticket\":\(timed.ticket(1))}"
            ),
            Plant(
                .isWhollyDone,
                after: waiting + [Script.lease("released", 1, 0), Script.step("prepared", 0, 2)]
                    + [Script.step("committed", 0, 2)],
                timed.settled(1, "\"completed\":{\"contents\":\"zeroed\"}"),
                notOf: Script.finished(0, 2)
            ),
            Plant(
                .expiresWhenDue,
                after: waiting,
                timed.settled(1, "\"expired\":{}"),
                notOf: timed.settled(1, "\"cancelled\":{}")
            ),
            Plant(
                .discardKeepsOwnership,
                after: Script.conversion(0, 4) + [Script.discarded(2, 1)],
                Script.closed(0, 2, "private"),
                notOf: Script.closed(0, 4, "private")
            ),
            Plant(
                .contentsAsDeclared,
                after: request.allowed + [Script.step("prepared", 0, 4), Script.step("committed", 0, 4)],
                Script.finished(0, 4, "preserved"),
                notOf: Script.finished(0, 4)
            ),
            Plant(
                .contentsAsDeclared,
                after: pinned.allowed + [Script.step("prepared", 0, 4), Script.step("committed", 0, 4)],
                Script.finished(0, 4),
                notOf: Script.finished(0, 4, "unspecified")
            ),
            Plant(
                .contentsAreSummed,
                after: made,
                request.answered("completed", changed: 4, contents: "preserved"),
                notOf: done
            ),
            Plant(
                .stepsInOrder,
                after: request.allowed + [Script.step("prepared", 0, 4)],
                Script.finished(0, 4),
                notOf: Script.step("committed", 0, 4)
            ),
            Plant(
                .stepsInOrder,
                after: request.allowed,
                Script.step("committed", 0, 4),
                notOf: Script.step("prepared", 0, 4)
            ),
            Plant(.vetoUndoes, after: made, request.failed("vetoed"), notOf: done),
            Plant(.malformedIsRefused, after: [], Script.malformed(4096), notOf: Script.malformed(3)),
            Plant(
                .requestIsBounded,
                after: Request(count: 8, prefix: (runs: 8, pages: 4)).allowed
                    + [Script.step("prepared", 0, 5), Script.step("committed", 0, 5), Script.finished(0, 5)],
                Request(count: 8, prefix: (runs: 8, pages: 4))
                    .answered("deferred", changed: 5, contents: "zeroed", stoppedAt: 5),
                notOf: leftAlone
            ),
            Plant(
                .pendingIsBounded,
                after: waiting + [Script.lease("leased", 2, 4)] + second.allowed,
                second.pending(2),
                notOf: second.failed("too-many-pending"),
                limits: ControllerLimits(pendingHandovers: 1)
            ),
            Plant(
                .runsAreMaximal,
                after: request.allowed + [Script.step("prepared", 0, 2)],
                Script.step("prepared", 2, 2),
                notOf: Script.step("committed", 0, 2)
            ),
            Plant(
                .isDecided,
                after: [request.requested],
                Script.step("prepared", 0, 4),
                notOf: request.decided("allow")
            ),
            Plant(
                .isDecided,
                after: [request.requested, request.decided("deny")],
                Script.step("prepared", 0, 4),
                notOf: request.failed("denied")
            ),
            Plant(
                .isDecided,
                after: [Script.lease("leased", 1, 0), request.requested, request.decided("deny")],
                request.answered("blocked", stoppedAt: 0, blockers: nic),
                notOf: request.failed("denied")
            ),
            Plant(
                .isDecided,
                after: waiting + [timed.requested, timed.decided("deny")],
                timed.pending(1),
                notOf: timed.failed("denied")
            ),
            Plant(
                .isDecided,
                after: [request.requested, request.decided("deny")],
                request.failed("busy"),
                notOf: request.failed("denied")
            ),
            Plant(
                .isDecided,
                after: [part.requested, part.decided("deny")],
                part.answered("deferred", stoppedAt: 0),
                notOf: part.failed("denied")
            ),
            Plant(
                .isDecided,
                after: Script.conversion(0, 4) + [request.requested, request.decided("later")],
                request.answered("completed"),
                notOf: request.answered("deferred", stoppedAt: 0)
            ),
            Plant(
                .contentsAreSummed,
                after: Script.conversion(0, 4) + [request.requested],
                request.answered("completed", contents: "zeroed"),
                notOf: request.answered("completed")
            ),
            Plant(
                .isRecorded,
                after: part.allowed,
                part.answered("stopped", stoppedAt: 0),
                notOf: part.answered("deferred", stoppedAt: 0)
            ),
            Plant(
                .isRecorded,
                after: [request.requested],
                request.failed("hole", pages: Script.range(0, 1)),
                notOf: request.failed("busy", pages: Script.range(0, 1))
            ),
            Plant(
                .isRecorded,
                after: [request.requested],
                request.failed("hole", pages: Script.range(1 << 30, 1)),
                notOf: request.failed("busy", pages: Script.range(0, 4))
            ),
            Plant(.isRecorded, after: [request.requested], request.failed("misaligned"), notOf: request.failed("busy")),
            Plant(.isRecorded, after: [], request.answered("completed"), notOf: small.requested),
        ]
    }()

    @Test(arguments: plants) func whatBreaksARuleIsFound(plant: Plant) throws {
        let found = try Script.judge(plant.before + [plant.planted], limits: plant.limits)
        let violation = try #require(found, "nothing is found")
        #expect(violation.violation.rule == plant.rule, "\(violation)")
        #expect(violation.index == plant.before.count, "\(violation)")
        if let promise = plant.rule.promise {
            #expect(violation.violation.description.hasPrefix("promise \(promise.rawValue) is broken"))
        }
    }

    @Test(arguments: plants) func whatDoesNotIsLeftAlone(plant: Plant) throws {
        let found = try Script.judge(plant.before + [plant.honest], limits: plant.limits)
        #expect(found?.violation.description == nil, "\(found?.index ?? -1) of \(plant.before.count)")
    }

    // MARK: What is seen in no event

    @Test func anAccessThatIsLetThroughIsFound() throws {
        var oracle = try Script.oracle()
        for (index, event) in Script.conversion(0, 4).enumerated() { try oracle.apply(Script.record(event, index)) }
        try oracle.checkReach(try TraceFixture.range(4, 1), by: .host)
        try oracle.checkReach(try TraceFixture.range(0, 4), by: .guest)
        let found = #expect(throws: OracleViolation.self) {
            try oracle.checkReach(try TraceFixture.range(3, 2), by: .host)
        }
        #expect(found?.rule == .enforced)
    }

    @Test func whatAReleaseDoesBeforeItReturnsIsFound() throws {
        let oracle = try Script.oracle()
        let released = Script.record(Script.lease("released", 1, 0), 0).event
        try oracle.checkRelease([released])
        let found = #expect(throws: OracleViolation.self) {
            try oracle.checkRelease([released, Script.record(Script.step("prepared", 0, 1), 1).event])
        }
        #expect(found?.rule == .releaseReturns)
    }

    /// A hand-over is held up by a lease, by whom the back end names, and until it is tried again: by nobody else.
    @Test func aHandoverThatNobodyHoldsUpIsFound() throws {
        let request = Request(count: 2)
        var oracle = try Script.oracle()
        func take(_ events: [String], from index: Int) throws {
            for (offset, event) in events.enumerated() { try oracle.apply(Script.record(event, index + offset)) }
        }
        let one = [TicketID(rawValue: 1)]
        try take([Script.lease("leased", 1, 0)] + request.allowed + [request.pending(1)], from: 0)
        #expect(oracle.forgotten(at: .zero) == [])
        try take([Script.lease("released", 1, 0)], from: 4)
        #expect(oracle.forgotten(at: .zero) == one)
        #expect(oracle.forgotten(at: .zero, unseen: [try TraceFixture.range(1, 4)]) == [])
        #expect(oracle.forgotten(at: .zero, unseen: [try TraceFixture.range(2, 4)]) == one)
        try take([Script.step("prepared", 0, 2)], from: 5)
        #expect(oracle.forgotten(at: .zero) == one)
        let guest =
            "{\"holder\":{\"device\":\"guest\"},\"kind\":\"mapping\",\"range\":\(Script.range(0, 2)),\"since\":0}"
        try take(["\"advanced\":{\"blockers\":[\(guest)],\"ticket\":\(request.ticket(1))}"], from: 6)
        #expect(oracle.forgotten(at: .zero) == [])
        try take(["\"postponed\":{\"blockers\":[],\"ticket\":\(request.ticket(1)),\"until\":50}"], from: 7)
        #expect(oracle.forgotten(at: Timestamp(rawValue: 49)) == [])
        #expect(oracle.forgotten(at: Timestamp(rawValue: 50)) == one)
        #expect(OracleRule.isNotForgotten.promise == .handover)
    }

    /// Every rule is planted somewhere, and every promise has a rule.
    @Test func nothingIsLeftOut() {
        let unseen: Set<OracleRule> = [.enforced, .releaseReturns, .isNotForgotten]
        #expect(Set(Self.plants.map(\.rule)).union(unseen) == Set(OracleRule.allCases))
        #expect(Set(OracleRule.allCases.compactMap(\.promise)) == Set(Promise.allCases))
    }

    // MARK: What is no violation

    /// What belongs to one request says nothing of another one: that a range beyond RAM is trivially so, for example.
    @Test func aRequestSaysNothingOfAnother() throws {
        let waiting = Request(count: 1)
        let beyond = Request(first: 1 << 30, count: 1)
        let events =
            [Script.lease("leased", 1, 0)] + waiting.allowed + [
                waiting.pending(1), beyond.requested, beyond.failed("hole"),
            ]
            + [
                Script.lease("released", 1, 0), Script.step("prepared", 0, 1), Script.step("committed", 0, 1),
                Script.finished(0, 1), waiting.settled(1, "\"completed\":{\"contents\":\"zeroed\"}"),
                Script.closed(0, 1, "private"),
            ]
        #expect(try Script.judge(events)?.violation.description == nil)
    }

    /// What other threads have done since a request is no violation of its answer, however many threads there are.
    @Test func requestsOfManyThreadsAreTakenOneByOne() throws {
        var oracle = try Script.oracle()
        let request = Request(first: 0, count: 1)
        for thread in 1...20_000 {
            try oracle.apply(Script.record(request.requested, thread, thread: thread))
        }
        // What any of them finds may be otherwise by now: a prefix that is not done is no violation.
        try oracle.apply(Script.record(request.answered("completed"), 20_001, thread: 5))
    }
}

import CustodyTestSupport
import SimulationBackend
import Synchronization
import Testing

@testable import Custody

/// What the engine makes of a back end's steps: what is called when, what is told, and that each change ends once.
@Suite(.timeLimit(.minutes(60))) struct ChangeEngineTests {
    private let mover: ScriptedMover
    private let reports = BackendReports()

    init() throws {
        mover = try ScriptedMover()
        mover.report(to: reports)
    }

    private func change(_ page: UInt64 = 0) throws -> OwnershipChange {
        OwnershipChange(range: try PageRange(pages: page..<(page + 1)), from: .shared, to: .private, initiator: .host)
    }

    private func holders(_ names: String...) throws -> [Blocker] {
        let range = try PageRange(pages: 0..<1)
        return names.map {
            Blocker(holder: Holder(device: $0), range: range, kind: .pin, since: mover.executor.now)
        }
    }

    /// Commits a change that is not made at once.
    private func pend(_ answers: ScriptedMover.Answer...) throws -> BackendHandover {
        mover.script(answers)
        guard case .pending(let handover, _) = try mover.commit(try mover.prepare(try change())) else {
            Issue.record("it is not pending")
            return BackendHandover(rawValue: 0)
        }
        return handover
    }

    private let error = BackendError(.system, "as told")

    // MARK: What is made at once

    @Test func aChangeIsMadeForGood() throws {
        guard case .completed(let made) = try mover.commit(try mover.prepare(try change())) else {
            Issue.record("it is not made")
            return
        }
        #expect(mover.finish(made) == .preserved)
        #expect(mover.steps == ["plan", "move", "drop"] && mover.engine.count == 0 && reports.words == [])
    }

    @Test func aChangeIsTakenBack() throws {
        guard case .completed(let made) = try mover.commit(try mover.prepare(try change())) else {
            Issue.record("it is not made")
            return
        }
        try mover.undo(made)
        #expect(mover.steps == ["plan", "move", "move back"] && mover.engine.count == 0)
    }

    /// A plan that is dropped is released, and a change that is dropped is final.
    @Test func nothingLeaks() throws {
        _ = try mover.prepare(try change())
        _ = try mover.commit(try mover.prepare(try change()))
        #expect(mover.steps == ["plan", "release", "plan", "move", "drop"] && mover.engine.count == 0)
    }

    @Test func whatFailsIsReleased() throws {
        mover.state.withLock { $0.planError = error }
        #expect(throws: BackendError.self) { _ = try mover.prepare(try change()) }
        mover.state.withLock { $0.planError = nil }
        mover.script([.fails(error), .does(.blocked(by: try holders("nic")))])
        #expect(throws: BackendError.self) { _ = try mover.commit(try mover.prepare(try change())) }
        guard case .blocked(let blockers) = try mover.commit(try mover.prepare(try change())) else {
            Issue.record("it is not blocked")
            return
        }
        #expect(blockers.map(\.holder.device) == ["nic"])
        #expect(
            mover.steps == ["plan", "plan", "move", "release", "plan", "move", "release"] && mover.engine.count == 0
        )
    }

    /// The back end is not asked about pages that the guest does not have, or parts of a page of its size.
    @Test func theShapeIsChecked() throws {
        let beyond = OwnershipChange(
            range: try PageRange(pages: 63..<65),
            from: .shared,
            to: .private,
            initiator: .host
        )
        let caught = #expect(throws: BackendError.self) { _ = try mover.prepare(beyond) }
        #expect(caught?.code == .invalidArgument && mover.steps == [])
    }

    // MARK: What waits

    /// After a millisecond, after twice as long each time, and ten times a second in the end; who holds it is told when that
    /// changes.
    @Test func whatIsHeldIsTriedAgainEverMoreSeldom() throws {
        let nic = try holders("nic"), disk = try holders("disk")
        let held = Array(repeating: ScriptedMover.Answer.does(.held(by: nic)), count: 9)
        mover.script(held + [.does(.held(by: disk)), .does(.held(by: disk))])
        guard case .pending(let handover, let blockers) = try mover.commit(try mover.prepare(try change())) else {
            Issue.record("it is not pending")
            return
        }
        #expect(blockers.map(\.holder.device) == ["nic"] && mover.engine.pendingCount == 1)
        mover.executor.pass(.seconds(10))
        let times = mover.state.withLock { $0.times }
        let waits = zip(times, times.dropFirst()).map { $1.since($0).components.attoseconds / 1_000_000_000_000_000 }
        #expect(waits == [1, 2, 4, 8, 16, 32, 64, 100, 100, 100, 100])
        #expect(
            reports.words == [
                "advanced \(handover.rawValue): [\"disk\"]", "completed \(handover.rawValue)",
            ]
        )
        #expect(mover.steps.suffix(2) == ["move", "drop"] && mover.engine.count == 0 && mover.engine.pendingCount == 0)
    }

    @Test func whatIsAskedForIsTriedWhenTheBackEndSaysSo() throws {
        let handover = try pend(.does(.asked(by: try holders("guest"))), .does(.asked(by: try holders("guest"))))
        mover.executor.pass(.seconds(1000))
        #expect(mover.steps == ["plan", "move"])
        // Twice before anybody has looked is once.
        mover.retry(handover)
        mover.retry(handover)
        mover.executor.drain()
        #expect(mover.steps == ["plan", "move", "move"] && reports.words == [])
        mover.retryPending { $0.change.to == .host }
        mover.executor.drain()
        #expect(mover.steps == ["plan", "move", "move"])
        mover.retryPending()
        mover.executor.drain()
        #expect(reports.words == ["completed \(handover.rawValue)"])
    }

    /// The answer may be there before the question has returned.
    @Test func anAnswerIsNotLost() throws {
        let asked = MoveOutcome.asked(by: try holders("guest"))
        let handover = try pend(.runs({ mover, id in mover.retry(id) }, then: asked), .does(.done))
        mover.executor.drain()
        #expect(reports.words == ["completed \(handover.rawValue)"])
        // And once more in an attempt.
        let other = try pend(.does(asked), .runs({ mover, id in mover.retry(id) }, then: asked), .does(.done))
        mover.retry(other)
        mover.executor.drain()
        #expect(reports.words.last == "completed \(other.rawValue)" && mover.engine.count == 0)
    }

    @Test func anErrorEndsWhatWaits() throws {
        let handover = try pend(.does(.held(by: try holders("nic"))), .fails(error))
        mover.executor.pass(.seconds(1))
        #expect(reports.words == ["failed \(handover.rawValue): system"])
        #expect(mover.steps == ["plan", "move", "move", "release"] && mover.engine.count == 0)
    }

    // MARK: What is withdrawn

    @Test func whatWaitsCanBeWithdrawn() throws {
        let handover = try pend(.does(.held(by: try holders("nic"))))
        #expect(mover.withdraw(handover))
        #expect(!mover.withdraw(handover))
        mover.executor.pass(.seconds(10))
        #expect(mover.steps == ["plan", "move", "stop", "release"] && reports.words == [])
    }

    /// What can not be stopped any more is made, and told.
    @Test func itMayBeTooLate() throws {
        let handover = try pend(.does(.asked(by: try holders("guest"))))
        mover.state.withLock { $0.isTooLate = true }
        #expect(!mover.withdraw(handover))
        mover.executor.drain()
        #expect(mover.steps == ["plan", "move", "stop", "move", "drop"])
        #expect(reports.words == ["completed \(handover.rawValue)"])
        #expect(!mover.withdraw(handover))
    }

    /// Withdrawing waits for the attempt that is under way, and comes too late then.
    @Test func anAttemptIsWaitedFor() throws {
        let mover = try ScriptedMover(executor: try ThreadExecutor())
        mover.report(to: reports)
        let isBusy = Monitor(false), mayGoOn = Monitor(false)
        mover.script([
            .does(.held(by: try holders("nic"))),
            .runs(
                { _, _ in
                    isBusy.update { $0 = true }
                    _ = mayGoOn.wait { $0 ? () : nil }
                },
                then: .done
            ),
        ])
        guard case .pending(let handover, _) = try mover.commit(try mover.prepare(try change())) else {
            Issue.record("it is not pending")
            return
        }
        _ = isBusy.wait { $0 ? () : nil }
        let answer = Monitor<Bool?>(nil)
        try Custody.Thread.start {
            let isWithdrawn = mover.withdraw(handover)
            answer.update { $0 = isWithdrawn }
        }
        #expect(answer.update { $0 } == nil)
        mayGoOn.update { $0 = true }
        #expect(answer.wait { $0 } == false)
        #expect(mover.steps.contains("stop") == false)
    }

    // MARK: What is lost

    @Test func aLossEndsEverythingOnce() throws {
        let held = try pend(.does(.held(by: try holders("nic"))))
        let asked = try pend(.does(.asked(by: try holders("guest"))))
        mover.lose(BackendError(.lost, "gone"))
        mover.lose(BackendError(.lost, "gone again"))
        let caught = #expect(throws: BackendError.self) { _ = try mover.prepare(try change(3)) }
        #expect(caught?.message == "gone")
        mover.executor.pass(.seconds(1))
        #expect(
            reports.words == ["lost: gone", "failed \(held.rawValue): lost", "failed \(asked.rawValue): lost"]
        )
        #expect(mover.engine.count == 0 && mover.state.withLock { $0.open } == [])
    }

    @Test func shuttingDownTellsNobodyOfALoss() throws {
        let held = try pend(.does(.held(by: try holders("nic"))))
        mover.shutDown()
        mover.executor.pass(.seconds(1))
        #expect(reports.words == ["failed \(held.rawValue): lost"])
    }

    @Test func whatCannotBeTakenBackIsLost() throws {
        for (code, told) in [
            (BackendError.Code.refusedByGuest, []), (.system, ["lost: a change cannot be taken back"]),
        ] {
            mover.state.withLock { $0.backError = BackendError(code, "as told") }
            guard case .completed(let made) = try mover.commit(try mover.prepare(try change())) else {
                Issue.record("it is not made")
                return
            }
            do throws(BackendError) {
                try mover.undo(made)
                Issue.record("it has been taken back")
            } catch {
                #expect(error.code == (told.isEmpty ? .refusedByGuest : .lost))
            }
            mover.executor.drain()
            #expect(reports.words == told)
        }
    }

    /// A change of another back end, and one that has ended, are errors.
    @Test func aStrangersChangeIsAnError() throws {
        let other = try ScriptedMover()
        let prepared = try other.prepare(try change())
        do throws(BackendError) {
            _ = try mover.commit(prepared)
            Issue.record("it has been committed")
        } catch { #expect(error.code == .invalidArgument) }
        guard case .completed(let made) = try other.commit(try other.prepare(try change())) else {
            Issue.record("it is not made")
            return
        }
        do throws(BackendError) {
            try mover.undo(made)
            Issue.record("it has been taken back")
        } catch { #expect(error.code == .invalidArgument) }
        #expect(other.steps == ["plan", "release", "plan", "move", "drop"] && mover.steps == [])
    }

    // MARK: Anything

    /// Whatever the back end answers and whoever asks, each plan ends once: it is dropped, moved back or released.
    @Test func eachPlanEndsOnce() throws {
        var (random, note) = Seed.generator("Engine")
        for _ in 0..<2_000 {
            let mover = try ScriptedMover(), reports = BackendReports()
            mover.report(to: reports)
            var pending: [BackendHandover] = []
            for _ in 0..<24 {
                let held = try holders(["nic", "disk"][Int(random.next() % 2)])
                let answers: [ScriptedMover.Answer] = [
                    .does(.done), .does(.held(by: held)), .does(.asked(by: held)), .does(.blocked(by: held)),
                    .fails(error),
                    .runs({ mover, id in mover.retry(id) }, then: .asked(by: held)),
                ]
                mover.state.withLock { state in
                    state.answers = (0..<3).map { _ in answers[Int(random.next() % UInt64(answers.count))] }
                    state.isTooLate = random.next() % 4 == 0
                }
                switch random.next() % 8 {
                case 0...3:
                    do {
                        switch try mover.commit(try mover.prepare(try change())) {
                        case .completed(let made):
                            if random.next() % 2 == 0 { _ = mover.finish(made) } else { try mover.undo(made) }
                        case .pending(let handover, _): pending.append(handover)
                        case .blocked: break
                        }
                    } catch { #expect(error is BackendError) }
                case 4: if let handover = pending.randomElement(using: &random) { mover.retry(handover) }
                case 5: if let handover = pending.randomElement(using: &random) { _ = mover.withdraw(handover) }
                case 6: mover.executor.pass(.milliseconds(Int64(random.next() % 50)))
                default: mover.executor.drain()
                }
            }
            if random.next() % 2 == 0 {
                mover.lose(BackendError(.lost, "gone"))
            } else {
                mover.script([])
                mover.retryPending()
            }
            mover.executor.pass(.seconds(1))
            let (open, ended, planned) = mover.state.withLock { ($0.open, $0.ended, $0.next) }
            #expect(open == [] && ended.count == planned && ended.values.allSatisfy { $0 == 1 }, "\(note)")
            #expect(mover.engine.count == 0 && mover.engine.pendingCount == 0, "\(note)")
            let ends = reports.words.filter { !$0.hasPrefix("advanced") && !$0.hasPrefix("lost") }
            #expect(Set(ends).count == ends.count, "\(note): \(ends)")
        }
    }
}

import Custody
import CustodyTestSupport
import SimulationBackend
import Testing

@testable import CustodyPolicy

/// What policies, listeners, observers and holders that call the controller back are answered.
@Suite(.timeLimit(.minutes(60))) struct ReentrancyTests {
    /// Something that is done once, and what came of it.
    private final class Question: Sendable {
        private let state = Locked<(ask: (@Sendable () -> [String])?, answers: [String])>((nil, []))

        var answers: [String] { state.withLock { $0.answers } }

        func prepare(_ ask: @escaping @Sendable () -> [String]) { state.withLock { $0.ask = ask } }

        func ask() {
            let ask = state.withLock { $0.ask.take() }
            guard let answers = ask?() else { return }
            state.withLock { $0.answers = answers }
        }
    }

    private final class AskingObserver: ControllerObserver {
        let question = Question()
        let observesAccesses = false
        func observe(_ event: ControllerEvent) { question.ask() }
    }

    private final class AskingPolicy: Policy {
        let question = Question()
        func decide(
            _ request: ConversionRequest,
            in view: PolicyView,
            remembering memory: inout PolicyMemory
        ) -> PolicyDecision {
            question.ask()
            return .allow
        }
    }

    /// Asks a controller for all that there is to ask for; pages 40 to 44 are in nobody's hands.
    private static func ask(_ controller: MemoryController) -> [String] {
        func pages(_ pages: Range<UInt64>) -> PageRange? { try? PageRange(pages: pages) }
        guard let same = pages(0..<8), let other = pages(40..<44) else { return [] }
        var answers: [String] = []
        func note(_ body: () throws -> String) {
            do { answers.append(try body()) } catch let error as ConversionError {
                answers.append(error.code.rawValue)
            } catch let error as ListenerVeto {
                answers.append("veto: \(error.reason)")
            } catch { answers.append("\(error)") }
        }
        for range in [same, other] {
            note {
                _ = try controller.convert(ConversionRequest(range, to: .private, by: .host("it")))
                return "converted"
            }
            note {
                try controller.discard(range)
                return "discarded"
            }
        }
        note { "\(controller.handle(GuestRequest(processor: 0, address: 0, byteCount: 4096, target: .private)))" }
        note {
            try controller.add(RecordingListener(bounds: controller.layout.bounds))
            return "added"
        }
        note { controller.pendingTickets.map { "\($0.cancel())" }.joined() }
        note { controller.ownership(of: other.start).map { "\($0)" } ?? "none" }
        note { "\(controller.blockers(of: other)), \(controller.runs(in: other).count)" }
        note { controller.snapshot().tally == controller.tally ? "alike" : "different" }
        note {
            try controller.lease(other, .pin, for: Holder(device: "it")).release()
            return "leased"
        }
        return answers
    }

    private static func expected(_ callee: String, pending: Int = 0) -> [String] {
        [
            "reentrant", "reentrant", "reentrant", "reentrant", "refused",
            "veto: a \(callee) adds it while it is called",
            String(repeating: "false", count: pending), "shared", "[], 1", "alike", "leased",
        ]
    }

    @Test(arguments: ["prepare", "commit", "roll back", "join"]) func aListenerIsAnswered(phase: String) throws {
        let fixture = try ControllerFixture()
        let controller = fixture.controller
        var pending = try fixture.pending(20..<24, pinned: 20..<21)
        let question = Question()
        question.prepare { [controller] in ReentrancyTests.ask(controller) }
        let listener = RecordingListener(bounds: controller.layout.bounds)
        if phase == "roll back" { fixture.backend.plan { $0.commit[1] = .fail(BackendError(.system, "EIO")) } }
        if phase != "join" { try controller.add(listener) }
        listener.atEachCall { call in
            if "\(call)".hasPrefix(phase == "join" ? "prepare" : phase) { question.ask() }
        }
        if phase == "join" {
            try controller.add(listener)
        } else {
            let refusal = try fixture.refusal(0..<8, to: .private)
            #expect(refusal == (phase == "roll back" ? .backend : nil))
        }
        #expect(question.answers == ReentrancyTests.expected("listener", pending: 1))
        #expect(fixture.controller.pendingTickets.count == 1, "it was not cancelled")
        #expect(try fixture.refusal(40..<44, to: .private) == nil, "and afterwards it may ask for all of it")
        pending.release()
        fixture.clock.drain()
        #expect(pending.ticket.result?.word == "completed")
        #expect(listener.violations == [] && listener.open == [])
        #expect(listener.live == fixture.hostMap)
    }

    @Test func anObserverIsAnswered() throws {
        let observer = AskingObserver()
        let backend = FakeBackend(try GuestMemoryLayout(pages: 0..<64), executor: VirtualExecutor())
        let controller = MemoryController(backend: backend, policy: AllowAll(), observer: observer)
        observer.question.prepare { [unowned controller] in ReentrancyTests.ask(controller) }
        _ = try controller.convert(ConversionRequest(PageRange(pages: 0..<8), to: .private, by: .host("vmm")))
        #expect(observer.question.answers == ReentrancyTests.expected("observer"))
    }

    /// A policy is asked with the lock held. What it asks is answered from what it decides upon; what it does besides is
    /// refused or done when it has decided.
    @Test func aPolicyIsAnswered() throws {
        let policy = AskingPolicy()
        let clock = VirtualExecutor()
        let backend = FakeBackend(try GuestMemoryLayout(pages: 0..<64), executor: clock)
        let controller = MemoryController(backend: backend, policy: policy)
        let listener = RecordingListener(bounds: controller.layout.bounds)
        let id = try controller.add(listener)
        let box = LeaseBox(try controller.lease(PageRange(pages: 50..<51), .pin, for: Holder(device: "it")))
        policy.question.prepare { [unowned controller] in
            var answers = ReentrancyTests.ask(controller)
            controller.mark("decided")
            box.release()
            answers.append("\(controller.remove(id))")
            return answers
        }
        _ = try controller.convert(ConversionRequest(PageRange(pages: 0..<8), to: .private, by: .host("vmm")))
        let refused = "a policy decides and holds no pages"
        let answers = policy.question.answers
        #expect(answers.dropLast(2) == ReentrancyTests.expected("policy").dropLast())
        #expect(answers.dropLast().last?.contains(refused) == true && answers.last == "pending")
        clock.drain()
        #expect(controller.snapshot().memory["decided"] != nil)
        #expect(try controller.blockers(of: PageRange(pages: 50..<51)).isEmpty)
        let told = listener.calls.count
        _ = try controller.convert(ConversionRequest(PageRange(pages: 8..<16), to: .private, by: .host("vmm")))
        #expect(listener.calls.count == told)
    }

    /// A holder that is asked to let go is called by the executor: it may do all that anybody may.
    @Test func aHolderMayAskForAnything() throws {
        let fixture = try ControllerFixture()
        let controller = fixture.controller
        let question = Question()
        question.prepare { [controller] in
            let other = try? PageRange(pages: 40..<44)
            let done = try? other.map { try controller.convert(ConversionRequest($0, to: .private, by: .host("it"))) }
            return ["\(done?.changedPages ?? 0)"]
        }
        let lease = try controller.lease(PageRange(pages: 0..<1), .pin, for: Holder(device: "nic")) { _ in
            question.ask()
        }
        let ticket = try #require(try fixture.convert(0..<8, to: .private).ticket)
        fixture.clock.drain()
        #expect(question.answers == ["4"])
        lease.release()
        fixture.clock.drain()
        #expect(ticket.result?.word == "completed")
    }

    /// A listener of one guest may convert pages of another: what it is called about is over there not under way.
    @Test func aListenerMayAskAnotherController() throws {
        let one = try ControllerFixture()
        let other = try ControllerFixture()
        let listener = RecordingListener(bounds: one.controller.layout.bounds)
        try one.controller.add(listener)
        let question = Question()
        question.prepare {
            let done = try? other.convert(0..<4, to: .private)
            return ["\(done?.changedPages ?? 0)"]
        }
        listener.atEachCall { _ in question.ask() }
        try one.convert(0..<4, to: .private)
        #expect(question.answers == ["4"])
    }
}

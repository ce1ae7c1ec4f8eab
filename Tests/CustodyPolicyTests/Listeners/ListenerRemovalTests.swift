import Custody
import CustodyTestSupport
import SimulationBackend
import Testing

@testable import CustodyPolicy

/// When a listener that is removed may be torn down, and whom a listener that blocks holds up.
@Suite(.timeLimit(.minutes(60))) struct ListenerRemovalTests {
    /// A place where a thread stays until it is let go.
    private final class Gate: Sendable {
        private struct State {
            var isReached = false
            var isOpen = false
        }
        private let state = Monitor(State())

        func pass() {
            state.update { $0.isReached = true }
            state.wait { $0.isOpen ? () : nil }
        }
        func waitUntilReached() { state.wait { $0.isReached ? () : nil } }
        func open() { state.update { $0.isOpen = true } }
    }

    /// Something that another thread does.
    private final class Errand<Result: Sendable>: Sendable {
        private let outcome = Monitor<Result?>(nil)

        init(_ body: @escaping @Sendable () -> Result) throws {
            try Thread.start { [outcome] in
                let result = body()
                outcome.update { $0 = result }
            }
        }

        var isDone: Bool { outcome.update { $0 != nil } }
        func result() -> Result? { outcome.wait { $0 } }
        /// Long enough for what has nothing to wait for, on any machine.
        func resultSoon() -> Result? { outcome.wait(for: .seconds(60)) { $0 } }
    }

    private func port(_ controller: MemoryController, _ index: Int = 0) throws -> ListenerPort {
        try #require(controller.state.withLock { $0.listeners.dropFirst(index).first })
    }

    /// Waits until a thread sleeps until the calls of a port are over, or has not done so and is over itself.
    private func waitForRemover<Result>(_ port: ListenerPort, _ errand: Errand<Result>) {
        while port.waiting == 0, !errand.isDone { ThreadCrew.yield() }
    }

    @Test(arguments: [false, true]) func removeWaitsForTheCallUnderWay(twice: Bool) throws {
        let fixture = try ControllerFixture()
        let controller = fixture.controller
        let gate = Gate()
        let listener = RecordingListener(bounds: controller.layout.bounds)
        let id = try controller.add(listener)
        listener.forgetCalls()
        listener.atEachCall { _ in gate.pass() }
        let conversion = try Errand { fixture.changed(0..<8, to: .private) }
        gate.waitUntilReached()
        let port = try port(controller)
        let removal = try Errand { controller.remove(id) }
        waitForRemover(port, removal)
        #expect(!removal.isDone, "a call is under way")
        let again = twice ? try Errand { controller.remove(id) } : nil
        if let again {
            while port.waiting == 1, !again.isDone { ThreadCrew.yield() }
            #expect(!again.isDone, "for whoever else removes it as well")
        }
        gate.open()
        #expect(removal.result() == .complete)
        if let again { #expect(again.result() == .complete) }
        #expect(conversion.result() == 8, "the change goes on without it")
        #expect(listener.calls.count == 1, "its end is not told")
        #expect(controller.state.withLock { $0.listeners.isEmpty })
    }

    /// It cannot wait for itself. The call that it is in is its last one, of several runs as well.
    @Test func aListenerRemovesItself() throws {
        let fixture = try ControllerFixture(pages: 0..<20)
        let controller = fixture.controller
        for low in stride(from: 2, to: 20, by: 4) as StrideTo<UInt64> {
            try fixture.convert(low..<(low + 2), to: .private)
        }
        let listener = RecordingListener(bounds: controller.layout.bounds)
        let other = RecordingListener("other", bounds: controller.layout.bounds)
        let id = try controller.add(listener)
        try controller.add(other)
        listener.forgetCalls()
        let answer = Locked<[ListenerRemoval]>([])
        listener.atEachCall { _ in
            let removal = controller.remove(id)
            answer.withLock { $0.append(removal) }
        }
        try fixture.convert(0..<20, to: .private)
        #expect(answer.withLock { $0 } == [.pending])
        #expect(listener.calls.count == 1, "one of five runs, and no end")
        #expect(other.live == fixture.hostMap && other.violations == [] && other.open == [])
        #expect(controller.remove(id) == .complete)
        #expect(controller.state.withLock { $0.listeners.count } == 1)
    }

    /// Two listeners that remove each other at the same time would wait for each other.
    @Test func aListenerRemovesAnotherThatIsInACall() throws {
        let fixture = try ControllerFixture()
        let controller = fixture.controller
        let listeners = (0..<2).map { RecordingListener("listener\($0)", bounds: controller.layout.bounds) }
        let ids = try listeners.map { try controller.add($0) }
        let gates = [Gate(), Gate()]
        let answers = Locked<[ListenerRemoval]>([])
        for (index, listener) in listeners.enumerated() {
            listener.atEachCall { call in
                // Each is in a call about pages of its own.
                guard case .prepare(let change) = call, change.range.start.rawValue == UInt64(index * 8) else { return }
                gates[index].pass()
                let answer = controller.remove(ids[1 - index])
                answers.withLock { $0.append(answer) }
            }
        }
        let errands = try (0..<2).map { (index: Int) -> Errand<UInt64?> in
            let first = UInt64(index * 8)
            return try Errand { fixture.changed(first..<(first + 8), to: .private) }
        }
        for gate in gates { gate.waitUntilReached() }
        gates[0].open()
        #expect(errands[0].resultSoon() == 8)
        gates[1].open()
        #expect(errands[1].resultSoon() == 8)
        #expect(answers.withLock { $0 } == [.pending, .complete])
        for id in ids { #expect(controller.remove(id) == .complete) }
    }

    /// A listener that blocks while it joins holds up what it is to be told of, and nothing else.
    @Test func aListenerThatJoinsHoldsUpOnlyWhatItIsToldOf() throws {
        let fixture = try ControllerFixture()
        let controller = fixture.controller
        try fixture.convert(40..<48, to: .private)
        let gate = Gate()
        let listener = RecordingListener(bounds: controller.layout.bounds)
        listener.atEachCall { _ in gate.pass() }
        let joining = try Errand { () -> Bool in
            do { return try controller.add(listener) == ListenerID(rawValue: 1) } catch { return false }
        }
        gate.waitUntilReached()
        let port = try port(controller)
        // The host keeps these, so that there is nothing to tell.
        let unrelated = try Errand { fixture.changed(0..<4, to: .host) }
        #expect(unrelated.resultSoon() == 4)
        let related = try Errand { fixture.changed(40..<48, to: .shared) }
        waitForRemover(port, related)
        #expect(!related.isDone, "the listener does not know yet what there was before")
        gate.open()
        #expect(joining.result() == true && related.result() == 8)
        #expect(listener.live == fixture.hostMap && listener.violations == [] && listener.open == [])
    }

    /// While a listener is in a call about some pages, others change hands, and it is told of those on their thread.
    @Test func aListenerThatBlocksHoldsUpOnlyThatChange() throws {
        let fixture = try ControllerFixture()
        let gate = Gate()
        let listener = RecordingListener(bounds: fixture.controller.layout.bounds)
        try fixture.controller.add(listener)
        let blocked = try PageRange(pages: 0..<8)
        listener.atEachCall { call in if case .prepare(let change) = call, change.range == blocked { gate.pass() } }
        let conversion = try Errand { fixture.changed(0..<8, to: .private) }
        gate.waitUntilReached()
        let others = try Errand { () -> [UInt64?] in
            var changed: [UInt64?] = []
            for first in stride(from: 8, to: 64, by: 8) as StrideTo<UInt64> {
                changed.append(fixture.changed(first..<(first + 8), to: .private))
            }
            return changed
        }
        #expect(others.resultSoon().map { $0.allSatisfy { $0 == 8 } } == true)
        gate.open()
        #expect(conversion.result() == 8)
        #expect(listener.live == fixture.hostMap && listener.violations == [] && listener.open == [])
    }

    /// One that has been sent away for a refusal still has to be told to give up what it prepared for, unless it is removed.
    @Test func oneThatWasDismissedCanBeRemoved() throws {
        let fixture = try ControllerFixture(initially: .private)
        try fixture.convert(40..<44, to: .shared)
        fixture.backend.plan { $0.commit[2] = .pend }
        let ticket = try #require(try fixture.convert(0..<8, to: .shared).ticket)
        let late = RecordingListener(bounds: fixture.controller.layout.bounds)
        let id = try fixture.controller.add(late)
        fixture.backend.plan { $0.commit[3] = .pend }
        let other = try #require(try fixture.convert(40..<44, to: .private).ticket)
        late.veto(1)
        fixture.backend.complete(try #require(fixture.backend.waiting.first))
        #expect(ticket.result?.word == "completed" && fixture.events.dismissed == ["iommu"])
        #expect(fixture.controller.state.withLock { $0.listeners.count } == 1, "it has prepared for something")
        #expect(fixture.controller.remove(id) == .complete)
        #expect(fixture.controller.state.withLock { $0.listeners.isEmpty })
        late.forgetCalls()
        #expect(other.cancel())
        #expect(late.calls.isEmpty)
    }
}

extension ControllerFixture {
    /// How many pages a conversion has changed; `nil` where it was refused.
    fileprivate func changed(_ pages: Range<UInt64>, to target: Ownership) -> UInt64? {
        do { return try convert(pages, to: target).changedPages } catch { return nil }
    }
}

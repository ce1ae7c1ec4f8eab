import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// Two phases, vetoes at every point, and those who come late.
@Suite struct ListenerTests {
    /// All that happens, in one list.
    private final class Order: Sendable {
        private let words = Locked<[String]>([])
        func note(_ word: String) { words.withLock { $0.append(word) } }
        func take() -> [String] {
            words.withLock { words in
                defer { words = [] }
                return words
            }
        }
    }

    private struct Stage {
        let fixture: ControllerFixture
        let listeners: [RecordingListener]
        let order = Order()

        init(_ count: Int, pages: Range<UInt64> = 0..<64, initially: Ownership = .shared) throws {
            fixture = try ControllerFixture(pages: pages, initially: initially)
            let bounds = fixture.controller.layout.bounds
            listeners = (0..<count).map { RecordingListener("listener\($0)", bounds: bounds) }
            for listener in listeners { try fixture.controller.add(listener) }
            for listener in listeners {
                listener.forgetCalls()
                listener.atEachCall { [order] call in
                    let word =
                        switch call {
                        case .prepare: "prepare"
                        case .veto: "veto"
                        case .commit: "commit"
                        case .rollBack: "roll back"
                        }
                    order.note("\(listener.name) \(word)")
                }
            }
            fixture.backend.atEachCall { [order] call in
                order.note("back end \("\(call)".prefix { $0 != " " })")
            }
            fixture.backend.forgetCalls()
        }

        /// Every listener reaches exactly what the host may touch, and nothing is open.
        func check(_ note: Comment) {
            let expected = fixture.hostMap
            for listener in listeners {
                #expect(listener.live == expected, note)
                #expect(listener.violations == [], note)
                #expect(listener.open == [], note)
            }
            #expect(fixture.isQuiet, note)
        }
    }

    @Test func whereTheHostLosesPagesListenersPrepareBeforeTheBackEnd() throws {
        let stage = try Stage(2)
        try stage.fixture.convert(0..<8, to: .private)
        #expect(
            stage.order.take() == [
                "back end prepare", "listener1 prepare", "listener0 prepare", "back end commit", "back end finish",
                "listener1 commit", "listener0 commit",
            ]
        )
        stage.check("private")
        try stage.fixture.convert(2..<4, to: .shared)
        #expect(
            stage.order.take() == [
                "back end prepare", "back end commit", "listener0 prepare", "listener1 prepare", "back end finish",
                "listener0 commit", "listener1 commit",
            ]
        )
        stage.check("shared")
        try stage.fixture.convert(20..<24, to: .host)
        #expect(
            stage.order.take() == ["back end prepare", "back end commit", "back end finish"],
            "the host keeps them"
        )
        stage.check("host")
    }

    /// Runs of shared and host pages beside each other are one call; a hole between them makes two.
    @Test func eachMaximalRunIsOneCall() throws {
        let stage = try Stage(1)
        for low in stride(from: 0, to: 32, by: 4) as StrideTo<UInt64> {
            try stage.fixture.convert(low..<(low + 2), to: .host)
        }
        stage.listeners[0].forgetCalls()
        try stage.fixture.convert(0..<32, to: .private)
        #expect(
            stage.listeners[0].calls.map(\.description) == [
                "prepare host loses 0x0-0x1ffff (128 KiB) (private)",
                "commit host loses 0x0-0x1ffff (128 KiB) (private)",
            ]
        )
        stage.check("one run")

        let layout = try GuestMemoryLayout(regions: [PageRange(pages: 0..<8), PageRange(pages: 16..<24)])
        let backend = FakeBackend(layout, executor: VirtualExecutor())
        let controller = MemoryController(
            backend: backend,
            policy: AllowAll(),
            limits: ControllerLimits(holes: .ignore)
        )
        let listener = RecordingListener(bounds: layout.bounds)
        try controller.add(listener)
        listener.forgetCalls()
        _ = try controller.convert(ConversionRequest(PageRange(pages: 4..<20), to: .private, by: .host("vmm")))
        #expect(
            listener.calls.map(\.description) == [
                "prepare host loses 0x4000-0x7fff (16 KiB) (private)",
                "prepare host loses 0x10000-0x13fff (16 KiB) (private)",
                "commit host loses 0x4000-0x7fff (16 KiB) (private)",
                "commit host loses 0x10000-0x13fff (16 KiB) (private)",
            ]
        )
    }

    /// Runs of two pages in the other ownership, so that one conversion is several changes.
    private func stage(_ target: Ownership) throws -> Stage {
        let stage = try Stage(3, pages: 0..<20, initially: target == .private ? .shared : .private)
        for low in stride(from: 2, to: 20, by: 4) as StrideTo<UInt64> {
            try stage.fixture.convert(low..<(low + 2), to: target)
        }
        stage.fixture.backend.forgetCalls()
        for listener in stage.listeners { listener.forgetCalls() }
        _ = stage.order.take()
        return stage
    }

    @Test(arguments: [Ownership.private, .shared], 0..<3)
    func aVetoUndoesEverythingBeforeIt(target: Ownership, vetoer: Int) throws {
        for number in 1...5 {
            let stage = try stage(target)
            let before = stage.fixture.map
            stage.listeners[vetoer].veto(number)
            #expect(try stage.fixture.refusal(0..<20, to: target) == .vetoed)
            #expect(stage.fixture.map == before)
            stage.check("\(target), \(vetoer), \(number)")
            for (index, listener) in stage.listeners.enumerated() {
                let prepared = listener.calls.compactMap { if case .prepare(let change) = $0 { change } else { nil } }
                let undone = listener.calls.compactMap { if case .rollBack(let change) = $0 { change } else { nil } }
                #expect(undone == prepared.reversed(), "the last one first")
                let isBefore = target == .private ? index > vetoer : index < vetoer
                #expect(prepared.count == (isBefore ? 5 : index == vetoer ? number - 1 : 0))
                #expect(!listener.calls.contains { if case .commit = $0 { true } else { false } })
            }
            let undos = stage.fixture.backend.calls.filter { if case .undo = $0 { true } else { false } }
            #expect(undos.count == (target == .private ? 0 : 5), "nobody was asked to commit, or all of it is undone")
            #expect(!stage.fixture.backend.calls.contains { if case .finish = $0 { true } else { false } })
            #expect(try stage.fixture.refusal(0..<20, to: target) == nil, "it can be asked for again")
            stage.check("and then carried out")
        }
    }

    @Test(arguments: [Ownership.private, .shared], 1...5)
    func aBackEndThatFailsIsUndoneForListenersToo(target: Ownership, number: Int) throws {
        for atPrepare in [true, false] {
            let stage = try stage(target)
            let before = stage.fixture.map
            stage.fixture.backend.plan { plan in
                if atPrepare {
                    plan.prepare[5 + number] = BackendError(.system, "EIO")
                } else {
                    plan.commit[5 + number] = .fail(BackendError(.system, "EIO"))
                }
            }
            #expect(try stage.fixture.refusal(0..<20, to: target) == .backend)
            #expect(stage.fixture.map == before)
            stage.check("\(target), \(number), \(atPrepare)")
            #expect(try stage.fixture.refusal(0..<20, to: target) == nil)
            stage.check("and then carried out")
        }
    }

    @Test(arguments: ["completes", "fails", "is cancelled", "is vetoed"])
    func aHandOverThatTheBackEndCompletes(end: String) throws {
        let stage = try Stage(2)
        let backend = stage.fixture.backend
        if end == "is vetoed" {
            // The host gains pages when it is over: the veto comes then, and the back end takes it back.
            try stage.fixture.convert(0..<8, to: .private)
            backend.plan { $0.commit[2] = .pend }
            let ticket = try #require(try stage.fixture.convert(0..<8, to: .host).ticket)
            stage.listeners[1].veto(1)
            backend.complete(try #require(backend.waiting.first))
            stage.fixture.clock.drain()
            #expect(ticket.result?.word == "vetoed")
            #expect(stage.fixture.map.prefix(8) == "PPPPPPPP")
            return stage.check(Comment(rawValue: end))
        }
        backend.plan { $0.commit[1] = .pend }
        let ticket = try #require(try stage.fixture.convert(0..<8, to: .private).ticket)
        let waiting = try #require(backend.waiting.first)
        #expect(!stage.listeners[0].live.isUniform(try PageRange(pages: 0..<8), true), "gone while it is pending")
        switch end {
        case "completes": backend.complete(waiting)
        case "fails": backend.fail(waiting, BackendError(.guestFailed, "no"))
        default: #expect(ticket.cancel())
        }
        stage.fixture.clock.drain()
        #expect(ticket.result != nil)
        stage.check(Comment(rawValue: end))
    }

    @Test func whoeverJoinsLateIsToldWhatThereIs() throws {
        let stage = try Stage(0)
        let controller = stage.fixture.controller
        try stage.fixture.convert(8..<16, to: .private)
        try stage.fixture.convert(20..<24, to: .host)
        let listener = RecordingListener(bounds: controller.layout.bounds)
        try controller.add(listener)
        #expect(listener.live == stage.fixture.hostMap)
        #expect(
            listener.calls.count { if case .prepare = $0 { true } else { false } } == 2,
            "shared and host pages are one run to it"
        )
        #expect(listener.calls.count { if case .commit = $0 { true } else { false } } == 2)
        let refusing = RecordingListener("refusing", bounds: controller.layout.bounds)
        refusing.veto(2)
        #expect(throws: ListenerVeto.self) { try controller.add(refusing) }
        #expect(refusing.live.isUniform(controller.layout.bounds, false), "it has been told that it has none")
        refusing.forgetCalls()
        try stage.fixture.convert(0..<4, to: .private)
        #expect(refusing.calls.isEmpty, "and is told nothing any more")
        #expect(listener.live == stage.fixture.hostMap)
    }

    /// Before the back end was asked, while it is, before it is asked again, and when it is over: whenever somebody joins, it
    /// ends up right.
    @Test(arguments: ["draining", "awaiting", "postponed"], ["completes", "is cancelled"])
    func joiningDuringAHandOver(phase: String, end: String) throws {
        let stage = try Stage(1)
        let backend = stage.fixture.backend
        let controller = stage.fixture.controller
        let late = RecordingListener("late", bounds: controller.layout.bounds)
        let lease = phase == "awaiting" ? nil : LeaseBox(try stage.fixture.lease(2..<3))
        if phase != "draining" { backend.plan { $0.commit[1] = phase == "awaiting" ? .pend : .block([]) } }
        let ticket = try #require(try stage.fixture.convert(0..<8, to: .private).ticket)
        if phase == "postponed" {
            lease?.release()
            stage.fixture.clock.drain()
        }
        try controller.add(late)
        #expect(
            late.live[PageNumber(0)] == (phase != "awaiting"),
            "devices keep what they have until it is carried out"
        )
        if end == "is cancelled" {
            #expect(ticket.cancel())
        } else {
            lease?.release()
            stage.fixture.clock.pass(.seconds(1))
            if let waiting = backend.waiting.first { backend.complete(waiting) }
        }
        stage.fixture.clock.drain()
        #expect(ticket.result?.word == (end == "completes" ? "completed" : "cancelled"))
        #expect(late.live == stage.fixture.hostMap)
        #expect(late.violations == [] && late.open == [])
        lease?.release()
        stage.check("\(phase), \(end)")
    }

    /// A device that cannot reach what the guest takes for shared must not go on as if it could.
    @Test func whoeverRefusesWhatItIsOfferedLateIsDismissedAndHasNothing() throws {
        let stage = try Stage(1, initially: .private)
        let fixture = stage.fixture
        try fixture.convert(20..<28, to: .shared)
        try fixture.convert(40..<44, to: .shared)
        fixture.backend.plan { $0.commit[3] = .pend }
        let ticket = try #require(try fixture.convert(0..<8, to: .shared).ticket)
        let late = RecordingListener("late", bounds: fixture.controller.layout.bounds)
        try fixture.controller.add(late)
        #expect(late.live == fixture.hostMap, "it has all that there is")
        // What it has refused to lose, it has, and it is not in the middle of it.
        late.veto(1)
        #expect(try fixture.refusal(24..<26, to: .private) == .vetoed)
        late.forgetCalls()
        // While the change that it is offered ends, it is in the middle of another one.
        fixture.backend.plan { $0.commit[4] = .pend }
        let other = try #require(try fixture.convert(40..<44, to: .private).ticket)
        late.veto(1)
        fixture.backend.complete(try #require(fixture.backend.waiting.first))
        #expect(ticket.result?.word == "completed", "the others are not held up")
        #expect(late.live.isUniform(fixture.controller.layout.bounds, false))
        #expect(fixture.events.dismissed == ["late"])
        let told = late.calls.count
        #expect(other.cancel())
        #expect(late.live.isUniform(fixture.controller.layout.bounds, false), "what comes back is taken away")
        #expect(late.calls.count == told + 3, "rolled back, and given up")
        try fixture.convert(20..<24, to: .private)
        try fixture.convert(50..<54, to: .shared)
        #expect(late.calls.count == told + 3 && late.open == [] && late.violations == [])
        stage.check("the other one has everything")
    }

    @Test func whoeverLeavesIsToldNothingAnyMore() throws {
        let stage = try Stage(1)
        let late = RecordingListener("late", bounds: stage.fixture.controller.layout.bounds)
        let id = try stage.fixture.controller.add(late)
        late.forgetCalls()
        stage.fixture.controller.remove(id)
        try stage.fixture.convert(0..<4, to: .private)
        #expect(late.calls.isEmpty)
        stage.check("the other one is")
    }

    @Test func aVetoOfAGuestsRequestIsARefusalAndATransientOneAskItAgain() throws {
        final class Refusing: OwnershipListener {
            let name = "vhost"
            let isTransient: Bool
            init(_ isTransient: Bool) { self.isTransient = isTransient }
            func prepare(_ change: HostAccessChange) throws(ListenerVeto) {
                if !change.isGranted { throw ListenerVeto("busy", isTransient: isTransient) }
            }
            func commit(_ change: HostAccessChange) {}
            func rollBack(_ change: HostAccessChange) {}
        }
        for isTransient in [false, true] {
            let fixture = try ControllerFixture()
            try fixture.controller.add(Refusing(isTransient))
            let request = GuestRequest(processor: 0, address: 8192, byteCount: 8192, target: .private)
            let reply = fixture.controller.handle(request)
            #expect(reply == (isTransient ? .retry(from: GuestPhysicalAddress(8192)) : .refused))
            #expect(fixture.isQuiet)
        }
    }
}

extension ControllerFixture {
    /// Which pages the host may touch.
    var hostMap: PageRunMap<Bool> {
        var map = PageRunMap(bounds: controller.layout.bounds, state: false)
        for run in controller.runs(in: controller.layout.bounds) { map.set(run.range, to: run.state.allows(.host)) }
        return map
    }
}

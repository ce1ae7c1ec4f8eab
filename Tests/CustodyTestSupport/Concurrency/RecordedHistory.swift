package import Custody
import CustodyPolicy
import SimulationBackend
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A short history of calls that threads made at the same time of one controller.
package struct RecordedHistory: Sendable {
    package typealias Event = LeaseSpecification.Event

    package static let pages = 4
    package let events: [TimedEvent<Event>]
    /// The number of calls.
    package let calls: Int
    /// Where the controller did not keep to what a back end may rely on, or left something open.
    package var violations: [String] = []

    package init(_ events: [TimedEvent<Event>], calls: Int) {
        self.events = events
        self.calls = calls
    }

    /// Whether it is one that a controller may have.
    package var isLinearizable: Bool {
        LeaseSpecification().isLinearizable(
            events,
            from: LeaseSpecification.initial(pages: Self.pages),
            isSound: LeaseSpecification.isSound
        )
    }

    /// Has the threads of a crew make a few calls each, by chance, and writes down what came of them.
    package static func record(_ crew: ThreadCrew, seed: UInt64, on executor: ThreadExecutor) throws -> RecordedHistory
    {
        let layout = try GuestMemoryLayout(pages: 0..<UInt64(pages))
        let backend = FakeBackend(layout, executor: executor)
        // Whoever is in the middle of a change lets the others go first.
        backend.atEachCall { _ in sched_yield() }
        backend.amidEachAccess { sched_yield() }
        let recorder = Recorder()
        let controller = MemoryController(backend: backend, policy: AllowAll(), observer: recorder)
        crew.run { number in
            var caller = Caller(number, controller, recorder, SplitMix64(seed: seed &+ UInt64(number) &* 0x9e37_79b9))
            for _ in 0..<3 { caller.call() }
            caller.end()
        }
        executor.drain()
        var history = recorder.history
        history.violations = backend.violations + backend.openChanges.map { "\($0) is left open" }
        // Everybody has let go: whatever waited has been woken.
        history.violations += controller.pendingTickets.map { "hand-over \($0.id) is left" }
        return history
    }
}

/// Writes down calls, and what became of hand-overs.
private final class Recorder: ControllerObserver {
    private struct Call {
        let events: [LeaseSpecification.Event]
        let began: UInt64
        let ended: UInt64
    }

    private struct State {
        var calls: [Call] = []
        var count = 0
        /// When each ticket was first seen, and when and how it ended.
        var registered: [UInt64: UInt64] = [:]
        var ended: [UInt64: (time: UInt64, isCancelled: Bool)] = [:]
    }

    private let state = Locked(State())
    private let clock = Atomic<UInt64>(0)
    private let lastNumber = Atomic<Int>(0)

    /// Copies go their own way, without the controller's lock.
    var observesAccesses: Bool { false }

    /// A moment: later ones are larger.
    func now() -> UInt64 { clock.add(1, ordering: .sequentiallyConsistent).newValue }
    func number() -> Int { lastNumber.add(1, ordering: .relaxed).newValue }

    func note(_ events: [LeaseSpecification.Event], since began: UInt64) {
        let ended = now()
        state.withLock { state in
            state.calls.append(Call(events: events, began: began, ended: ended))
            state.count += 1
            for case .registered(let ticket, _, _) in events { state.registered[ticket] = began }
        }
    }

    func observe(_ event: ControllerEvent) {
        guard case .settled(let ticket, let result) = event.kind else { return }
        let time = now()
        let isCancelled = if case .completed = result { false } else { true }
        state.withLock { $0.ended[ticket.id.rawValue] = (time, isCancelled) }
    }

    /// The events of a call follow each other within its span; those of a hand-over come between its registration and
    /// the moment in which its end was told.
    var history: RecordedHistory {
        state.withLock { state in
            var events: [TimedEvent<LeaseSpecification.Event>] = []
            var registrations: [UInt64: Int] = [:]
            for call in state.calls {
                for (index, event) in call.events.enumerated() {
                    if case .registered(let ticket, _, _) = event { registrations[ticket] = events.count }
                    let before = index == 0 ? nil : events.count - 1
                    events.append(TimedEvent(event, began: call.began, ended: call.ended, after: before))
                }
            }
            for (ticket, end) in state.ended.sorted(by: { $0.key < $1.key }) {
                let began = state.registered[ticket] ?? 0
                events.append(
                    TimedEvent(
                        .left(ticket, isCancelled: end.isCancelled),
                        began: began,
                        ended: end.time,
                        after: registrations[ticket]
                    )
                )
                events.append(
                    TimedEvent(
                        .ended(ticket, isCancelled: end.isCancelled),
                        began: began,
                        ended: end.time,
                        after: events.count - 1
                    )
                )
            }
            return RecordedHistory(events, calls: state.count)
        }
    }
}

/// One thread of a history.
private struct Caller: ~Copyable {
    private let name: Holder
    private let controller: MemoryController
    private let recorder: Recorder
    private var random: SplitMix64
    private var lease: HostLease?
    private var leaseNumber = 0
    private var ticket: Ticket?

    init(_ number: Int, _ controller: MemoryController, _ recorder: Recorder, _ random: SplitMix64) {
        name = Holder(device: "t\(number)")
        self.controller = controller
        self.recorder = recorder
        self.random = random
        lease = nil
    }

    mutating func call() {
        let low = random.next(upperBound: UInt64(RecordedHistory.pages))
        let count = 1 + random.next(upperBound: min(2, UInt64(RecordedHistory.pages) - low))
        guard let range = try? PageRange(pages: low..<(low + count)) else { return }
        switch random.next(upperBound: UInt64(10)) {
        case 8, 9: copy(range)
        case 0, 1: if lease == nil { take(range) } else { release() }
        case 2, 3, 4: convert(range, .private, waits: true)
        case 5: convert(range, .private, waits: false)
        case 6: convert(range, .shared, waits: false)
        default: if ticket == nil { look(range.start) } else { cancel() }
        }
    }

    /// Gives back what is left.
    mutating func end() { if lease != nil { release() } }

    private func bits(_ range: PageRange) -> UInt8 {
        (range.start.rawValue..<range.end).reduce(0) { $0 | 1 << UInt8($1) }
    }

    private mutating func take(_ range: PageRange) {
        let began = recorder.now()
        do throws(AccessError) {
            let lease = try controller.lease(range, .pin, for: name)
            leaseNumber = recorder.number()
            recorder.note([.leased(leaseNumber, pages: bits(range))], since: began)
            self.lease = consume lease
        } catch {
            if let refused = refusal(error, bits(range)) { recorder.note([refused], since: began) }
        }
    }

    /// Copies the bytes around the middle of a range, or the first one of a page.
    private func copy(_ range: PageRange) {
        let call = recorder.number()
        let pages = bits(range)
        let address = GuestPhysicalAddress(range.start.rawValue * 4096 + (range.count == 2 ? 4092 : 0))
        var bytes: [8 of UInt8] = .init(repeating: 0)
        var span = bytes.mutableSpan
        let knocked: [LeaseSpecification.Event] = [.knocked(call: call, pages: pages), .answered(call: call)]
        let began = recorder.now()
        do throws(AccessError) {
            try controller.read(&span, from: address, for: name)
            recorder.note(knocked + [.leased(call, pages: pages), .released(call)], since: began)
        } catch {
            recorder.note(knocked + [refusal(error, pages)].compactMap { $0 }, since: began)
        }
    }

    private func refusal(_ error: AccessError, _ pages: UInt8) -> LeaseSpecification.Event? {
        switch error {
        case .inTransit(let page, let ticket):
            .leaseRefused(pages: pages, inTransit: true, page: Int(page.rawValue), ticket: ticket?.rawValue)
        case .notOwned(let page, _):
            .leaseRefused(pages: pages, inTransit: false, page: Int(page.rawValue), ticket: nil)
        default: nil
        }
    }

    private mutating func release() {
        let began = recorder.now()
        lease = nil
        recorder.note([.released(leaseNumber)], since: began)
    }

    private mutating func convert(
        _ range: PageRange,
        _ target: Ownership,
        waits: Bool
    ) {
        // A deadline that nobody else has, far away: by it a hand-over is known to be this call's own.
        let call = recorder.number()
        let deadline = Duration.seconds(1_000_000 + call)
        let whenHeld: ConversionRequest.WhenHeld = waits ? .handOver(deadline: deadline) : .report
        let request = ConversionRequest(range, to: target, by: .host(name.device), whenHeld: whenHeld)
        let pages = bits(range)
        let owner: LeaseSpecification.Owner = target == .private ? .private : .shared
        let began = recorder.now()
        do throws(ConversionError) {
            let outcome = try controller.convert(request)
            switch outcome.status {
            case .completed:
                let changed = Int(outcome.changedPages)
                recorder.note(
                    changed == 0
                        ? [.unchanged(pages: pages, owner)]
                        : [.claimed(call: call, pages: pages, owner), .converted(call: call, owner, changed: changed)],
                    since: began
                )
            case .blocked: recorder.note([.blocked(pages: pages, owner)], since: began)
            case .pending(let ticket, _):
                let isOwn = ticket.deadline == ticket.since.advanced(by: deadline)
                let id = ticket.id.rawValue
                recorder.note(
                    [isOwn ? .registered(id, pages: pages, owner) : .joined(id, pages: pages, owner)],
                    since: began
                )
                self.ticket = ticket
            case .deferred, .stopped: break
            }
        } catch {
            if error.code == .busy { recorder.note([.busy(pages: pages, owner)], since: began) }
        }
    }

    private mutating func cancel() {
        guard let ticket else { return }
        self.ticket = nil
        let began = recorder.now()
        let isDone = ticket.cancel()
        recorder.note([.cancelAnswered(ticket.id.rawValue, isDone)], since: began)
    }

    private func look(_ page: PageNumber) {
        let began = recorder.now()
        let owner: LeaseSpecification.Owner? =
            switch controller.ownership(of: page) {
            case .shared: .shared
            case .private: .private
            case .inTransit: .inTransit
            default: nil
            }
        guard let owner else { return }
        recorder.note([.looked(page: Int(page.rawValue), owner)], since: began)
    }
}

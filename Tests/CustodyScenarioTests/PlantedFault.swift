import Custody
import CustodyTestSupport
import SimulationBackend

/// A fault by which a back end breaks a promise of its own.
enum PlantedFault {
    /// It says that it keeps the host out, and does not.
    case letsTheHostIn
    /// Its executor runs what it is handed on the caller's stack.
    case runsOnTheCaller
    /// It registers a change that it never completes, and names nobody who holds it up.
    case forgets
    /// None: it registers a change and completes it before it says that it is pending.
    case isQuick

    /// A back end with this fault.
    func backend() throws -> ForwardingBackend {
        let clock = VirtualExecutor()
        let layout = try GuestMemoryLayout(pages: 0..<16)
        let inner = FakeBackend(layout, executor: self == .runsOnTheCaller ? InlineExecutor(clock) : clock)
        var capabilities = inner.capabilities
        if self == .letsTheHostIn { capabilities.enforcement = .process }
        if self == .forgets { inner.plan { $0.commit[1] = .pend } }
        if self == .isQuick { inner.plan { $0.commit[1] = .pendAndComplete } }
        return ForwardingBackend(inner, capabilities: capabilities)
    }
}

/// An executor that does at once what it is to do later.
private struct InlineExecutor: CompletionExecutor {
    private let clock: VirtualExecutor
    init(_ clock: VirtualExecutor) { self.clock = clock }
    var now: Timestamp { clock.now }
    var runsByItself: Bool { clock.runsByItself }
    func submit(_ work: @escaping @Sendable () -> Void) { work() }
    func submitConcurrently(_ work: @escaping @Sendable () -> Void) { work() }
    func submitUrgently(at deadline: Timestamp, _ work: @escaping @Sendable () -> Void) -> TimerID {
        clock.submitUrgently(at: deadline, work)
    }
    func submit(at deadline: Timestamp, _ work: @escaping @Sendable () -> Void) -> TimerID {
        clock.submit(at: deadline, work)
    }
    func withdraw(_ timer: TimerID) { clock.withdraw(timer) }
    func pass(_ duration: Duration) { clock.pass(duration) }
    func drain() { clock.drain() }
}

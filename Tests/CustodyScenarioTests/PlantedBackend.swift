import Custody
import CustodyTestSupport
import SimulationBackend

/// A back end that breaks a promise of its own.
final class PlantedBackend: MemoryBackend {
    enum Fault {
        /// It says that it keeps the host out, and does not.
        case letsTheHostIn
        /// Its executor runs what it is handed on the caller's stack.
        case runsOnTheCaller
        /// It registers a change that it never completes, and names nobody who holds it up.
        case forgets
        /// None: it registers a change and completes it before it says that it is pending.
        case isQuick
    }

    private let fault: Fault
    private let inner: FakeBackend
    let capabilities: Capabilities

    init(_ fault: Fault) throws {
        self.fault = fault
        let clock = VirtualExecutor()
        let layout = try GuestMemoryLayout(pages: 0..<16)
        inner = FakeBackend(layout, executor: fault == .runsOnTheCaller ? InlineExecutor(clock) : clock)
        var capabilities = inner.capabilities
        if fault == .letsTheHostIn { capabilities.enforcement = .process }
        self.capabilities = capabilities
        if fault == .forgets { inner.plan { $0.commit[1] = .pend } }
        if fault == .isQuick { inner.plan { $0.commit[1] = .pendAndComplete } }
    }

    var layout: GuestMemoryLayout { inner.layout }
    var initialOwnership: PageRunMap<Ownership> { inner.initialOwnership }
    var executor: any CompletionExecutor { inner.executor }
    var guestAgent: (any GuestAgent)? { nil }
    func report(to observer: any BackendObserver) { inner.report(to: observer) }
    func prepare(_ change: OwnershipChange) throws(BackendError) -> PreparedChange { try inner.prepare(change) }
    func commit(_ prepared: consuming PreparedChange) throws(BackendError) -> CommitOutcome {
        try inner.commit(prepared)
    }
    func finish(_ committed: consuming CommittedChange) -> ContentsEffect { inner.finish(committed) }
    func undo(_ committed: consuming CommittedChange) throws(BackendError) { try inner.undo(committed) }
    func releaseReservation(_ reservation: Reservation, of change: OwnershipChange) {
        inner.releaseReservation(reservation, of: change)
    }
    func withdraw(_ handover: BackendHandover) -> Bool { inner.withdraw(handover) }
    func discardContents(of range: PageRange) throws(BackendError) { try inner.discardContents(of: range) }
    func shutDown() { inner.shutDown() }
    func read(_ bytes: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError) {
        try inner.read(&bytes, from: address)
    }
    func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError) {
        try inner.write(bytes, to: address)
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

import CKVM
import Custody
import SystemPackage

/// Keeps virtual processors out of the guest while memory slots change.
///
/// Replacing a slot is not atomic for a guest that runs: between the removal and the addition its access finds no memory.
/// Whoever replaces one closes the gate first: processors in the guest are kicked out of it, others wait before they
/// enter. A processor that handles an exit is out, whatever its thread does, so it may close the gate itself.
final class QuiesceGate: Quiescence {
    private struct Inside {
        let thread: pthread_t
        let runAddress: UInt
    }

    /// What came of the wish to enter.
    enum Entry: Sendable, Hashable {
        /// The processor is in.
        case inside
        /// It is to stop.
        case stopped
        /// Nobody gets in any more.
        case shut
    }

    private struct State {
        var inside: [Int: Inside] = [:]
        /// The processors that are to stop.
        var stopped: Set<Int> = []
        var isClosed = false
        var isShut = false
    }

    private let state = Monitor(State())

    /// How long a processor may take to come out. A kick takes microseconds; only a stuck kernel takes this long.
    private let limit: Duration
    /// What takes them out.
    let signal: KickSignal

    init(_ signal: KickSignal, limit: Duration = .seconds(5)) {
        self.signal = signal
        self.limit = limit
    }

    /// Lets a processor into the guest, when the gate is open. Called on its thread, which lets kicks through from then on:
    /// what has run on it since the last time may have blocked them.
    ///
    /// - Parameter completingOnly: `KVM_RUN` is to finish the access before and come straight back, which one that is to
    ///   stop may do too.
    func enter(_ processor: Int, runAddress: UInt, completingOnly: Bool) -> Entry {
        signal.admit()
        let inside = Inside(thread: pthread_self(), runAddress: runAddress)
        return state.wait { state -> Entry? in
            if state.isShut { return .shut }
            if !completingOnly, state.stopped.contains(processor) { return .stopped }
            if state.isClosed { return nil }
            state.inside[processor] = inside
            if completingOnly { QuiesceGate.setImmediateExit(1, inside) }
            return .inside
        } ?? .shut
    }

    /// Notes that a processor has come out. Called on its thread.
    func leave(_ processor: Int) {
        state.update { state in
            guard let inside = state.inside.removeValue(forKey: processor) else { return }
            QuiesceGate.setImmediateExit(0, inside)
        }
    }

    /// Has a processor come out of the guest, if it is inside, and keeps it from entering again.
    func stop(_ processor: Int) {
        state.update { state in
            state.stopped.insert(processor)
            guard let inside = state.inside[processor] else { return }
            signal.takeBack()
            kick(inside)
        }
    }

    /// Waits for a while, or until a processor is to stop.
    ///
    /// - Returns: whether it is to stop.
    func waitForStop(of processor: Int, for duration: Duration) -> Bool {
        state.wait(for: duration) { $0.isShut || $0.stopped.contains(processor) ? () : nil } != nil
    }

    /// Lets a processor enter again that was to stop.
    func forgetStop(of processor: Int) { state.update { _ = $0.stopped.remove(processor) } }

    /// Whether no processor is in the guest.
    var isEmpty: Bool { state.update { $0.inside.isEmpty } }

    /// Runs `body` while no processor is in the guest. One caller at a time.
    ///
    /// - Throws: `BackendError` with code `guestFailed`, without having run `body`, where a processor does not come out
    ///   in time or cannot be kicked, or what `body` throws.
    func withProcessorsOut<Result: ~Copyable>(
        _ body: () throws(BackendError) -> Result
    ) throws(BackendError) -> Result {
        _ = state.wait { state -> Void? in
            guard !state.isClosed else { return nil }
            state.isClosed = true
            return ()
        }
        defer { state.update { $0.isClosed = false } }
        guard try drain({ () throws(BackendError) in try signal.restore() }) else { throw stuck() }
        return try body()
    }

    /// Shuts the gate for good and waits until every processor has come out, however long that takes.
    ///
    /// - Parameter late: Told once, where it takes longer than it ever should.
    func shut(late: (BackendError) -> Void = { _ in }) {
        state.update { $0.isShut = true }
        if drain({ () throws(Never) in signal.takeBack() }) { return }
        late(stuck())
        while !drain({ () throws(Never) in signal.takeBack() }) {}
    }

    /// Kicks the processors that are inside until none is.
    ///
    /// - Parameter prepare: Called before each round of kicks.
    /// - Returns: `false` where one does not come out in time.
    private func drain<Failure: Error>(_ prepare: () throws(Failure) -> Void) throws(Failure) -> Bool {
        let end = ContinuousClock.now + limit
        while !isEmpty {
            try prepare()
            state.update { state in for inside in state.inside.values { kick(inside) } }
            if state.wait(for: .milliseconds(10), { $0.inside.isEmpty ? () : nil }) != nil { break }
            if ContinuousClock.now >= end { return false }
        }
        return true
    }

    private func stuck() -> BackendError {
        let processors = state.update { $0.inside.keys.sorted() }.map(String.init).joined(separator: ", ")
        return BackendError(.guestFailed, "virtual processor \(processors) did not leave the guest within \(limit)")
    }

    /// With the lock held: a thread in the table has not passed `leave`, so it lives. The flag makes a kick count that
    /// comes before `KVM_RUN`.
    private func kick(_ inside: Inside) {
        QuiesceGate.setImmediateExit(1, inside)
        signal.kick(inside.thread)
    }

    private static func setImmediateExit(_ value: UInt8, _ inside: Inside) {
        guard let page = unsafe UnsafeMutableRawPointer(bitPattern: inside.runAddress) else { return }
        unsafe ckvm_run_set_immediate_exit(page, value)
    }
}

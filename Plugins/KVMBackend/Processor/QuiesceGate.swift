import CKVM
import Custody
import SystemPackage

/// Keeps virtual processors out of the guest while memory slots change.
///
/// Replacing a slot is not atomic for a guest that runs: between the removal and the addition its access finds no memory.
/// Whoever replaces one closes the gate first: processors in the guest are kicked out of it, others wait before they
/// enter. A processor that handles an exit is out, whatever its thread does, so it may close the gate itself.
final class QuiesceGate: Sendable {
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

    init(limit: Duration = .seconds(5)) { self.limit = limit }

    /// Lets a processor into the guest, when the gate is open. Called on its thread.
    ///
    /// - Parameter completingOnly: `KVM_RUN` is to finish the access before and come straight back, which one that is to
    ///   stop may do too.
    func enter(_ processor: Int, runAddress: UInt, completingOnly: Bool) -> Entry {
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
            QuiesceGate.kick(inside)
        }
    }

    /// Lets a processor enter again that was to stop.
    func forgetStop(of processor: Int) { state.update { _ = $0.stopped.remove(processor) } }

    /// Runs `body` while no processor is in the guest. One caller at a time.
    ///
    /// - Throws: `BackendError` with code `guestFailed`, without having run `body`, where a processor does not come out
    ///   in time, or what `body` throws.
    func withProcessorsOut<Result: ~Copyable>(
        _ body: () throws(BackendError) -> Result
    ) throws(BackendError) -> Result {
        _ = state.wait { state -> Void? in
            guard !state.isClosed else { return nil }
            state.isClosed = true
            return ()
        }
        defer { state.update { $0.isClosed = false } }
        guard drain() else {
            throw BackendError(.guestFailed, "a virtual processor did not leave the guest within \(limit)")
        }
        return try body()
    }

    /// Shuts the gate for good and waits until every processor has come out.
    ///
    /// - Returns: `false` where one does not come out in time.
    @discardableResult
    func shut() -> Bool {
        state.update { $0.isShut = true }
        return drain()
    }

    private func drain() -> Bool {
        let end = ContinuousClock.now + limit
        while true {
            let isEmpty = state.update { state in
                for inside in state.inside.values { QuiesceGate.kick(inside) }
                return state.inside.isEmpty
            }
            if isEmpty { return true }
            if state.wait(for: .milliseconds(10), { $0.inside.isEmpty ? () : nil }) != nil { return true }
            if ContinuousClock.now >= end { return false }
        }
    }

    /// With the lock held: a thread in the table has not passed `leave`, so it lives. The flag makes a kick count that
    /// comes before `KVM_RUN`.
    private static func kick(_ inside: Inside) {
        setImmediateExit(1, inside)
        _ = ckvm_kick(inside.thread)
    }

    private static func setImmediateExit(_ value: UInt8, _ inside: Inside) {
        guard let page = unsafe UnsafeMutableRawPointer(bitPattern: inside.runAddress) else { return }
        unsafe ckvm_run_set_immediate_exit(page, value)
    }
}

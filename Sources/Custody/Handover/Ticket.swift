/// A hand-over under way: it completes by itself when the last reference is dropped.
///
/// It can be awaited from a task, waited for on a thread, or withdrawn. Letting go of the value changes nothing.
public final class Ticket: Sendable {
    /// The ticket's number.
    public let id: TicketID
    /// The pages asked for. Those that were not in the target ownership already are in transit.
    public let range: PageRange
    /// The ownership that they are to be in.
    public let target: Ownership
    /// Since when they are in transit.
    public let since: Timestamp
    /// When it is given up, where that was asked for.
    public let deadline: Timestamp?

    private struct State {
        var result: TicketResult?
        var attempts = 0
        var callbacks: [@Sendable (TicketResult) -> Void] = []
        var waiters: [UInt64: CheckedContinuation<TicketResult?, Never>] = [:]
        var nextWaiter: UInt64 = 0
    }

    private let state = Monitor(State())
    private let withdraw: @Sendable (TicketID) -> Bool
    private let holders: @Sendable (PageRange) -> [Blocker]

    /// For controllers: a ticket that `withdraw` takes back, returning whether it still could, and whose pages those
    /// that `blockers` tells of hold.
    package init(
        id: TicketID,
        range: PageRange,
        target: Ownership,
        since: Timestamp,
        deadline: Timestamp?,
        withdraw: @escaping @Sendable (TicketID) -> Bool,
        blockers: @escaping @Sendable (PageRange) -> [Blocker]
    ) {
        self.id = id
        self.range = range
        self.target = target
        self.since = since
        self.deadline = deadline
        self.withdraw = withdraw
        holders = blockers
    }

    /// How the hand-over ended, or `nil` while it is pending.
    public var result: TicketResult? { state.update { $0.result } }

    /// Who of the host holds pages of it now, as far as the ledger knows; nobody once it has ended.
    public var blockers: [Blocker] { result == nil ? holders(range) : [] }

    /// How often the back end has been asked to carry it out.
    public var attempts: Int { state.update { $0.attempts } }

    /// Calls `body` when the hand-over has ended, at once where it has; on the thread that ends it, so that it must not
    /// wait, or for one whose deadline has passed on a thread of the executor.
    public func whenEnded(_ body: @escaping @Sendable (TicketResult) -> Void) {
        let result = state.update { state in
            if state.result == nil { state.callbacks.append(body) }
            return state.result
        }
        if let result { body(result) }
    }

    /// How the hand-over ends.
    ///
    /// - Throws: `CancellationError` when the waiting task is cancelled; the hand-over goes on.
    public var value: TicketResult {
        get async throws {
            let waiter = state.update { state in
                state.nextWaiter += 1
                return state.nextWaiter
            }
            let result = await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let ready: TicketResult?? = state.update { state in
                        if let result = state.result { return .some(result) }
                        if Task.isCancelled { return .some(nil) }
                        state.waiters[waiter] = continuation
                        return nil
                    }
                    if let ready { continuation.resume(returning: ready) }
                }
            } onCancel: {
                state.update { $0.waiters.removeValue(forKey: waiter) }?.resume(returning: nil)
            }
            guard let result else { throw CancellationError() }
            return result
        }
    }

    /// Sleeps until the hand-over has ended, on a thread that may sleep: not on Swift's cooperative pool.
    ///
    /// - Returns: how it ended, or `nil` where `timeout` of real time passed first.
    public func wait(for timeout: Duration? = nil) -> TicketResult? { state.wait(for: timeout) { $0.result } }

    /// Withdraws the hand-over: the pages go back to the ownership before.
    ///
    /// - Returns: `false` where it has already ended.
    @discardableResult
    public func cancel() -> Bool { withdraw(id) }

    /// For controllers: counts one more attempt.
    package func noteAttempt() { state.update { $0.attempts += 1 } }

    /// For controllers: ends the ticket, wakes everybody who waits, and calls those who asked for that. A second call is
    /// ignored.
    package func settle(_ result: TicketResult) {
        for callback in end(result) { callback(result) }
    }

    /// For controllers: ends the ticket and wakes everybody who waits. A second call is ignored.
    ///
    /// - Returns: whom the caller is to call, on a thread that may wait for them.
    package func end(_ result: TicketResult) -> [@Sendable (TicketResult) -> Void] {
        let (waiters, callbacks) = state.update { state in
            guard state.result == nil else {
                return ([CheckedContinuation<TicketResult?, Never>](), [@Sendable (TicketResult) -> Void]())
            }
            state.result = result
            defer {
                state.waiters = [:]
                state.callbacks = []
            }
            return (Array(state.waiters.values), state.callbacks)
        }
        for waiter in waiters { waiter.resume(returning: result) }
        return callbacks
    }
}

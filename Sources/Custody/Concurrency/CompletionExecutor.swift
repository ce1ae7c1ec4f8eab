/// Runs deferred work off the thread where it arises, and keeps the time.
///
/// The last release of a lease happens on whatever thread held it, perhaps one that must not sleep. What follows from
/// it, a conversion with its system calls and observers, is handed over to an executor. There are three kinds of work:
///
/// * ``submit(_:)`` and ``submit(at:_:)`` are for the back end's calls and reports: they may block, and run one after
///   another.
/// * ``submitConcurrently(_:)`` is for calls of others, which nobody is to wait for: a slow one does not hold up the
///   next one, nor the back end.
/// * ``submitUrgently(at:_:)`` is for what must be on time. It runs behind neither of the other two, so that it must not
///   block, and must not call a back end, a listener, an observer or a holder of leases.
///
/// A simulation has one executor with virtual time that runs work when it is told to, and of what is due at one time
/// first what was handed over first; everything else uses ``ThreadExecutor``.
public protocol CompletionExecutor: Sendable {
    /// The time now.
    var now: Timestamp { get }

    /// Whether work runs by itself, on other threads; otherwise it runs in ``pass(_:)`` and ``drain()``.
    var runsByItself: Bool { get }

    /// Hands work over, to be run after what was handed over in this way before. Never runs it on the caller's stack.
    func submit(_ work: @escaping @Sendable () -> Void)

    /// Hands work over that has no order, to be run beside all other work. Never runs it on the caller's stack.
    func submitConcurrently(_ work: @escaping @Sendable () -> Void)

    /// Hands work over, to be run at `deadline` or soon after as if it had been submitted then; never where that is
    /// ``Timestamp/never``.
    ///
    /// - Complexity: O(log *n*) in the number of timers.
    @discardableResult
    func submit(at deadline: Timestamp, _ work: @escaping @Sendable () -> Void) -> TimerID

    /// Hands work over that does not block, to be run at `deadline` whatever other work is under way; never where that is
    /// ``Timestamp/never``.
    ///
    /// - Complexity: O(log *n*) in the number of timers.
    @discardableResult
    func submitUrgently(at deadline: Timestamp, _ work: @escaping @Sendable () -> Void) -> TimerID

    /// Forgets work that was to be done later; does nothing where it has begun.
    ///
    /// - Complexity: O(log *n*) in the number of timers.
    func withdraw(_ timer: TimerID)

    /// Lets time pass: sleeps, or moves virtual time on and runs what becomes due. Must not be called from such work.
    func pass(_ duration: Duration)

    /// Returns when all work is done that is due, and all that it handed over without a deadline.
    /// Must not be called from such work.
    func drain()
}

/// Where the work is done that must not be done where it arises.
///
/// The last release of a lease happens on whatever thread held it, perhaps one that must not sleep. What follows from
/// it, a conversion with its system calls and observers, is handed over to an executor. A simulation has one with
/// virtual time that runs work when it is told to; everything else uses ``ThreadExecutor``.
public protocol CompletionExecutor: Sendable {
    /// The time now.
    var now: Timestamp { get }

    /// Hands work over, to be run after what was handed over before. Never runs it on the caller's stack.
    func submit(_ work: @escaping @Sendable () -> Void)

    /// Hands work over, to be run at `deadline` or soon after.
    @discardableResult
    func submit(at deadline: Timestamp, _ work: @escaping @Sendable () -> Void) -> TimerID

    /// Forgets work that was to be done later; does nothing where it has begun.
    func withdraw(_ timer: TimerID)

    /// Lets time pass: sleeps, or moves virtual time on and runs what becomes due. Must not be called from such work.
    func pass(_ duration: Duration)

    /// Returns when all work is done that is due, and all that it handed over without a deadline.
    /// Must not be called from such work.
    func drain()
}

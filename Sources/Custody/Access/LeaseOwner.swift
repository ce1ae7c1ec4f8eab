/// Whoever gave a lease out and is told of its end.
public protocol LeaseOwner: AnyObject, Sendable {
    /// Takes a lease back. Never sleeps, and runs no foreign code under a lock: what follows is left to an executor.
    func release(_ lease: LeaseID)
}

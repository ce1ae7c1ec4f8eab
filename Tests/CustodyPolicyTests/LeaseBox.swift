import Custody

/// A lease that can lie in a collection: released when it is told to, or when the box goes.
final class LeaseBox: Sendable {
    private let lease: Locked<HostLease?>
    init(_ lease: consuming HostLease) { self.lease = Locked(lease) }
    func release() { lease.withLock { $0 = nil } }
}

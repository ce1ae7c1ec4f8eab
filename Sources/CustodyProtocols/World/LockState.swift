/// A reader-writer lock and who holds it.
@frozen
public struct LockState: Hashable, Sendable {
    /// Who holds the lock exclusively: the actor's number and one, or zero.
    public var writer: UInt8
    /// Who holds the lock shared: one bit an actor.
    public var readers: UInt64

    /// A lock that nobody holds.
    @inlinable
    public init(writer: UInt8 = 0, readers: UInt64 = 0) {
        self.writer = writer
        self.readers = readers
    }

    /// Whether `actor` holds the lock in any way.
    @inlinable
    public func isHeld(by actor: ActorID) -> Bool { writer == actor.owner || readers & actor.bit != 0 }

    /// Whether `actor` holds the lock exclusively.
    @inlinable
    public func isHeldExclusively(by actor: ActorID) -> Bool { writer == actor.owner }
}

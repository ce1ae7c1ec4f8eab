/// The name of an actor in its world: who owns a lock. At most 64 actors are at work in a world at one time.
@frozen
public struct ActorID: RawRepresentable, Hashable, Sendable {
    /// The number of the actor, less than 64.
    public var rawValue: UInt8

    /// The actor with number `rawValue`, which is less than 64.
    @inlinable
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The actor with number `number`, which is less than 64.
    @inlinable
    public init(_ number: UInt8) { rawValue = number }

    /// The actor's bit in a set of readers.
    @inlinable
    public var bit: UInt64 { 1 &<< UInt64(rawValue & 63) }

    /// The actor as an owner: one more than its number, because zero is nobody.
    @inlinable
    public var owner: UInt8 { rawValue &+ 1 }
}

/// What happened in one step, beyond the change of the world. Facts, not judgements: a property decides.
@frozen
public struct Events: OptionSet, Hashable, Sendable {
    /// The bits.
    public var rawValue: UInt32
    /// The events with bits `rawValue`.
    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The host read memory.
    public static let hostRead = Events(rawValue: 1 << 0)
    /// The host wrote memory.
    public static let hostWrite = Events(rawValue: 1 << 1)
    /// The guest read or wrote memory.
    public static let guestAccess = Events(rawValue: 1 << 2)
    /// The host touched memory of a page that the guest owns privately.
    public static let hostTouchedPrivate = Events(rawValue: 1 << 3)
    /// A count went below zero.
    public static let underflow = Events(rawValue: 1 << 4)
    /// A folio was freed.
    public static let freed = Events(rawValue: 1 << 5)
    /// Memory, a count or a lock of a freed folio was used, or a field of an inode that is gone.
    public static let usedAfterFree = Events(rawValue: 1 << 6)
    /// The final put followed `folio->mapping` of a folio that was truncated.
    public static let nullMapping = Events(rawValue: 1 << 7)
    /// `WARN_ON_ONCE` fired.
    public static let warned = Events(rawValue: 1 << 8)
    /// A sleeping lock was taken where sleeping is forbidden.
    public static let sleptInAtomic = Events(rawValue: 1 << 9)
    /// A lock was released that the actor does not hold, or state was changed without the documented locks.
    public static let unlocked = Events(rawValue: 1 << 10)
    /// A hand-over was registered: the type set and the file's references dropped.
    public static let registered = Events(rawValue: 1 << 11)
    /// A page that was in transit became private.
    public static let completed = Events(rawValue: 1 << 12)
    /// A page that was in transit became shared again.
    public static let cancelled = Events(rawValue: 1 << 13)
    /// A completion found the page not in transit.
    public static let completedOutOfTurn = Events(rawValue: 1 << 14)
    /// A request for private memory took a page that was private already out of that state.
    public static let leftTarget = Events(rawValue: 1 << 15)
    /// The operation ended with this step.
    public static let ended = Events(rawValue: 1 << 16)
    /// A page was shown to somebody before it was zeroed.
    public static let staleContents = Events(rawValue: 1 << 17)
    /// The page at the cursor was refused and nothing was registered.
    public static let refused = Events(rawValue: 1 << 18)
}

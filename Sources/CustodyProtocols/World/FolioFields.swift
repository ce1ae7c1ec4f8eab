/// The fields of a folio, each by itself: a world can tell which of them a step reads and which it writes.
///
/// ``FolioState`` is a value that tells nothing; ``FolioWorld/Folio`` says which one a world hands out.
public protocol FolioFields {
    /// References: one a page for the page cache, one a host mapping, and one for everybody else who holds it.
    var references: Int32 { get set }
    /// Host page-table entries that map a page of the folio.
    var mappings: UInt16 { get set }
    /// The first page of the file that the folio backs, or last backed.
    var index: PageOffset { get set }
    /// Whether somebody holds the folio lock.
    var isLocked: Bool { get }
    /// Whether all of `flags` are set.
    func has(_ flags: FolioState.Flags) -> Bool
    /// Sets `flags`.
    mutating func insert(_ flags: FolioState.Flags)
    /// Clears `flags`.
    mutating func remove(_ flags: FolioState.Flags)
    /// Whether `actor` holds the folio lock.
    func isLocked(by actor: ActorID) -> Bool
    /// Gives the folio lock to `actor`.
    mutating func lock(for actor: ActorID)
    /// Takes the folio lock from whoever holds it.
    mutating func unlock()
}

extension FolioState: FolioFields {
    /// Whether somebody holds the folio lock.
    @inlinable
    public var isLocked: Bool { lockOwner != 0 }

    /// Whether all of `flags` are set.
    @inlinable
    public func has(_ flags: Flags) -> Bool { self.flags.contains(flags) }

    /// Sets `flags`.
    @inlinable
    public mutating func insert(_ flags: Flags) { self.flags.formUnion(flags) }

    /// Clears `flags`.
    @inlinable
    public mutating func remove(_ flags: Flags) { self.flags.subtract(flags) }

    /// Whether `actor` holds the folio lock.
    @inlinable
    public func isLocked(by actor: ActorID) -> Bool { lockOwner == actor.owner }

    /// Gives the folio lock to `actor`.
    @inlinable
    public mutating func lock(for actor: ActorID) { lockOwner = actor.owner }

    /// Takes the folio lock from whoever holds it.
    @inlinable
    public mutating func unlock() { lockOwner = 0 }
}

extension FolioState.Flags {
    /// Every flag.
    public static let all: FolioState.Flags = [.allocated, .cached, .guestmem, .upToDate, .poisoned, .queued]
}

/// What carries changes of ownership out: a simulation, a kernel, a managed domain.
///
/// A change is made in three steps, so that whatever can fail does so while it can still be undone:
///
/// 1. ``prepare(_:)`` checks and reserves. It may fail, and changes nothing that either party can see.
/// 2. ``commit(_:)`` moves the pages. Afterwards both parties have what the new ownership allows, and the bytes of the
///    ownership before are still there.
/// 3. ``finish(_:)`` drops what is stale. It cannot fail and cannot be undone; until then ``undo(_:)`` restores
///    everything, contents included.
///
/// The caller owns the order of changes: a back end is never asked for two changes of one page at a time, but may be
/// asked for changes of different pages from several threads at once, and from within a guest request.
public protocol MemoryBackend: AnyObject, HostMemory {
    /// What this back end can do, with the configuration it was made with.
    var capabilities: Capabilities { get }

    /// Where the guest has RAM.
    var layout: GuestMemoryLayout { get }

    /// The ownership that each page is in when the back end has been made; its bounds are those of the layout.
    var initialOwnership: PageRunMap<Ownership> { get }

    /// Where work is done that a releasing thread must not do itself, and what time it is.
    var executor: any CompletionExecutor { get }

    /// The guest's side, where the back end can drive it from a script.
    var guestAgent: (any GuestAgent)? { get }

    /// Gives pages their memory ahead of their first use, where the back end can.
    var populator: (any MemoryPopulator)? { get }

    /// Tells which pages the guest has written, where the back end can.
    var dirtyLog: (any DirtyLog)? { get }

    /// Tells how much of the host's memory pages take, where the back end can.
    var memoryMeter: (any MemoryMeter)? { get }

    /// Other processes that reach for the guest's memory, where the back end can drive them from a script.
    var neighbours: (any Neighbours)? { get }

    /// Names the one receiver of what this back end reports; it is held weakly. Called once, before the first change.
    func report(to observer: any BackendObserver)

    /// Checks a change and reserves what it needs.
    ///
    /// - Throws: ``BackendError``; nothing is reserved then.
    func prepare(_ change: OwnershipChange) throws(BackendError) -> PreparedChange

    /// Carries a prepared change out.
    ///
    /// - Throws: ``BackendError``; the pages are then as they were before, unless its code is
    ///   ``BackendError/Code/lost``.
    func commit(_ prepared: consuming PreparedChange) throws(BackendError) -> CommitOutcome

    /// Makes a committed change final: drops the backing that nobody may reach any more.
    ///
    /// - Returns: what became of the contents.
    func finish(_ committed: consuming CommittedChange) -> ContentsEffect

    /// Takes a committed change back: ownership and contents are as before it was prepared.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/refusedByGuest`` where a guest that cannot be told was given
    ///   the pages and keeps them: they are ``Ownership/shared`` then, and may be offered later
    ///   (``BackendObserver/guestOffers(_:)``); with ``BackendError/Code/lost`` where it is not possible any more.
    func undo(_ committed: consuming CommittedChange) throws(BackendError)

    /// Gives back what ``prepare(_:)`` reserved. Called by ``PreparedChange`` itself.
    func releaseReservation(_ reservation: Reservation, of change: OwnershipChange)

    /// Withdraws a hand-over that ``commit(_:)`` reported as pending: the pages go back to the ownership before.
    ///
    /// - Returns: `false` where it has completed in the meantime; its completion is then reported.
    func withdraw(_ handover: BackendHandover) -> Bool

    /// Throws the contents of pages away, whoever owns them; their ownership stays. The owner reads zeroes afterwards.
    ///
    /// - Throws: ``BackendError``; the contents are then as they were.
    func discardContents(of range: PageRange) throws(BackendError)

    /// Ends the guest's run and waits until none of its processors runs. Further changes are refused with
    /// ``BackendError/Code/lost``; ending once more is harmless.
    func shutDown()
}

extension MemoryBackend {
    /// None.
    public var populator: (any MemoryPopulator)? { nil }

    /// None.
    public var dirtyLog: (any DirtyLog)? { nil }

    /// None.
    public var memoryMeter: (any MemoryMeter)? { nil }

    /// None.
    public var neighbours: (any Neighbours)? { nil }
}

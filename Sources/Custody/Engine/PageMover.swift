/// A back end that moves pages, and leaves everything else to the engine of the core.
///
/// The engine numbers changes, keeps what is planned until it ends, waits, tries again, withdraws, tells the observer, and
/// answers every call with an error once the guest is lost. What a back end writes is what differs: the steps below, and
/// access to the guest's bytes. Everything of ``MemoryBackend`` that is about a change is then there.
///
/// A change takes one of these ways; each step is called once unless it says otherwise, and never two of the same change
/// at a time:
///
/// * ``plan(_:)``, ``move(_:)``, ``drop(_:)``: the change is made for good.
/// * ``plan(_:)``, ``move(_:)``, ``moveBack(_:)``: it is made, and taken back.
/// * ``plan(_:)``, any number of ``move(_:)`` of which none is done, ``release(_:)``: it is given up. Where somebody had
///   been asked to let go, ``stop(_:)`` comes before it.
///
/// Steps of changes of different pages are called from several threads at once. No lock of the engine is held.
public protocol PageMover: MemoryBackend {
    /// What a change needs from its plan to its end: this back end's own.
    associatedtype Token: Sendable

    /// The engine, made with the back end.
    var engine: ChangeEngine<Token> { get }

    /// Checks a change and reserves what it needs. Nothing that either party can see has changed. That the pages are RAM of the
    /// guest, and whole units of the layout's granularity, has been checked.
    ///
    /// - Throws: ``BackendError``; nothing is reserved then.
    func plan(_ change: OwnershipChange) throws(BackendError) -> Token

    /// Moves the pages, all of them or none. The bytes of the ownership before are still there afterwards.
    ///
    /// It is called again for a change that is not done: see ``MoveOutcome``.
    ///
    /// - Throws: ``BackendError``; the pages are then as they were, unless its code is ``BackendError/Code/lost``.
    func move(_ planned: inout PlannedChange<Token>) throws(BackendError) -> MoveOutcome

    /// Moves the pages of a change that was made back: ownership and contents are as before it was planned.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/refusedByGuest`` as ``MemoryBackend/undo(_:)`` says. Any other error
    ///   means that it is not possible: the guest is then lost.
    func moveBack(_ planned: PlannedChange<Token>) throws(BackendError)

    /// Drops what is stale after a change: what nobody may reach any more. It cannot fail: what cannot be dropped now is the
    /// back end's to drop before the place is used again.
    ///
    /// - Returns: what became of the contents.
    func drop(_ planned: PlannedChange<Token>) -> ContentsEffect

    /// Gives back what ``plan(_:)`` reserved for a change that is not to be.
    func release(_ planned: PlannedChange<Token>)

    /// Takes back what a pending change has asked for.
    ///
    /// - Returns: `false` where it is too late: the change is then completed by a further ``move(_:)``.
    func stop(_ planned: PlannedChange<Token>) -> Bool
}

extension PageMover {
    /// Nothing to give back.
    public func release(_ planned: PlannedChange<Token>) {}

    /// Nothing has been asked for.
    public func stop(_ planned: PlannedChange<Token>) -> Bool { true }
}

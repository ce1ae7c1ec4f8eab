/// The receiver of what a back end reports without having been asked.
///
/// Its methods are called on the back end's executor, never under a lock of the back end.
public protocol BackendObserver: AnyObject, Sendable {
    /// A pending hand-over has come to its end: the pages have changed hands, and the change can still be undone.
    func handoverCompleted(_ handover: BackendHandover, _ committed: consuming CommittedChange)

    /// Somebody whom a pending hand-over waited for has let go; these have not. With nobody left it is about to complete.
    func handoverAdvanced(_ handover: BackendHandover, stillHeldBy blockers: [Blocker])

    /// A pending hand-over was given up; its pages are as they were before.
    func handoverFailed(_ handover: BackendHandover, _ error: BackendError)

    /// The guest has given these pages up although nobody asks for them, or not any more. Whoever keeps the ownership
    /// should ask for them now: that goes through at once.
    func guestOffers(_ range: PageRange)

    /// The back end had lost touch with what runs the guest, and has it again.
    ///
    /// Until then its calls failed with ``BackendError/Code/disconnected``. The ends of hand-overs that it has learnt of
    /// are reported first, as ever; those that it does not carry out any more have failed with that code, and are asked
    /// for again.
    ///
    /// - Parameter ownership: The ownership that each page is in now; its bounds are those of the layout. Pages of a
    ///   hand-over that is still under way are in transit, or in the ownership before.
    func backendReconnected(finding ownership: PageRunMap<Ownership>)

    /// The guest or what runs it is gone. No call will succeed any more.
    func backendLost(_ error: BackendError)
}

extension BackendObserver {
    /// Tells nobody.
    public func handoverAdvanced(_ handover: BackendHandover, stillHeldBy blockers: [Blocker]) {}

    /// Leaves the pages where they are.
    public func guestOffers(_ range: PageRange) {}
}

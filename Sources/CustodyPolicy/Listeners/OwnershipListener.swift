/// Whoever must follow what the host may touch: an IOMMU's map, a vhost-user back end, a cache, a dirty tracker.
///
/// It is told in two phases, so that it can refuse while everything can still be undone. The order follows the
/// direction: where the host loses pages, it prepares before the back end changes anything; where the host gains pages,
/// after. Each maximal run of pages is one call, never one a page, and only what differs from what the listener was
/// told before. It is called on the thread that carries the change out, under no lock of the controller, perhaps on
/// several threads at once for pages that do not overlap. A listener that blocks holds up the changes that it is told of,
/// and no others.
///
/// From within a call it may ask the controller, take leases and release them, and remove listeners, without waiting for
/// their calls. A conversion, a discard or a new listener is refused: the error's code is
/// ``ConversionError/Code/reentrant``, and a ticket that it cancels stays pending. It must not wait for another thread that
/// does one of these.
///
/// A listener that refuses a page the host can access is removed: one that joins while pages change hands is offered them
/// when they have, and where it refuses them it is told to give up all that it has, and the event `dismissed` says why.
/// There, and where pages have left the host without anybody being asked, a refusal changes nothing: `commit` follows.
public protocol OwnershipListener: AnyObject, Sendable {
    /// The name by which events and errors call it.
    var name: String { get }

    /// Gets ready for a change. Where the host loses the pages, no access of the listener's goes on when it returns;
    /// where the host gains them, the listener can reach them.
    ///
    /// - Throws: ``ListenerVeto`` to refuse; all that was done for the change is undone then, and this listener is not
    ///   told of it again.
    func prepare(_ change: HostAccessChange) throws(ListenerVeto)

    /// The change that it prepared for is final.
    func commit(_ change: HostAccessChange)

    /// The change that it prepared for does not take place: the listener goes back to where it was.
    func rollBack(_ change: HostAccessChange)
}

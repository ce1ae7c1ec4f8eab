public import Custody

/// One step that a controller took.
public struct ControllerEvent: Sendable {
    /// What happened.
    public enum Kind: Sendable {
        /// A guest asked with numbers that are no range of pages; it was refused, and nobody else was asked.
        case malformed(GuestRequest, RangeError)
        /// Somebody asked for a conversion.
        case requested(ConversionRequest)
        /// The policy answered.
        case decided(ConversionRequest, PolicyDecision)
        /// The back end has reserved for a change.
        case prepared(OwnershipChange)
        /// The back end has made a change.
        case committed(OwnershipChange)
        /// What a change made stale is gone; so much became of the bytes.
        case finished(OwnershipChange, ContentsEffect)
        /// A request has its answer.
        case answered(ConversionRequest, ConversionOutcome)
        /// A request was not carried out.
        case failed(ConversionRequest, ConversionError)
        /// A pending hand-over met references that only the back end sees; it is tried again then.
        case postponed(Ticket, [Blocker], until: Timestamp)
        /// Somebody whom a pending hand-over waited for has let go; the back end sees that these have not.
        case advanced(Ticket, [Blocker])
        /// A pending hand-over has ended.
        case settled(Ticket, TicketResult)
        /// The host has got a lease.
        case leased(LeaseID, LeaseKind, PageRange, Holder)
        /// The host did not get a lease.
        case leaseRefused(LeaseKind, PageRange, Holder, AccessError)
        /// The host has given a lease up.
        case released(LeaseID, LeaseKind, PageRange, Holder)
        /// A listener has refused a change, by its name.
        case vetoed(String, ListenerVeto)
        /// A listener refused pages that it was offered after it had joined: it has been told that it has none, and is a
        /// listener no more.
        case dismissed(ListenerID, String, ListenerVeto)
        /// Contents have been discarded, or could not be.
        case discarded(PageRange, BackendError?)
        /// The host has set a mark for the policy.
        case marked(String)
        /// The back end has reached its guest again, or has found its pages in another ownership than they were to be in:
        /// a guest kept what a change that was taken back had given it.
        case reconnected(Reconciliation)
        /// The back end is gone.
        case lost(BackendError)
    }

    /// The place of the step in the order in which the steps of the controller took effect, whatever thread they were
    /// on: later ones are larger. Observers are told after that, and may be told of a later step first, by another thread
    /// or, of a request whose hand-over has ended before it is answered, by the same one. Events of one step have one
    /// number, and are told in their order.
    public let sequence: UInt64
    /// When, in the back end's time. A decision has the time that the policy was given, and what an observer is told of by
    /// another thread the time at which it is told.
    public let time: Timestamp
    /// What happened.
    public let kind: Kind

    /// A step at a time.
    public init(sequence: UInt64, time: Timestamp, kind: Kind) {
        self.sequence = sequence
        self.time = time
        self.kind = kind
    }
}

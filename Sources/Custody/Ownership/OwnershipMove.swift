/// What has to happen for a page to get from one ownership to another.
public enum OwnershipMove: Sendable, Hashable {
    /// The page is there already; nothing happens, whatever references it has.
    case stay
    /// The receiver may map the page from now on. Nobody loses it, so nobody is waited for.
    case give(to: Party)
    /// `relinquisher` loses the page: new access is refused at once, what it still holds must drain, then the page
    /// changes hands. With `agreement` the relinquisher is asked first, and may refuse or leave the question open.
    case handOver(from: Party, agreement: Agreement)
    /// A hand-over of the page is under way; its ticket decides (join it, withdraw it, or refuse).
    case askTicket
    /// There is no such change: nobody can ask for a page to be in transit.
    case illegal

    /// Whether the relinquisher's word is needed beside its references.
    public enum Agreement: Sendable, Hashable {
        /// The relinquisher asked for the change itself, or has no say in it.
        case implied
        /// The relinquisher is asked, as by a balloon or a memory unplug request.
        case asked
    }
}

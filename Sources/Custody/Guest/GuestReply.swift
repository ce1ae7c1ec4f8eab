/// What a guest is told. It is never left waiting inside a request.
public enum GuestReply: Sendable, Hashable {
    /// All pages are in the ownership asked for.
    case done
    /// Not yet: ask again, from this address on.
    case retry(from: GuestPhysicalAddress)
    /// No, and asking again will not help.
    case refused
}

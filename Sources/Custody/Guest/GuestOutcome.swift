/// What came of a guest's operation.
public enum GuestOutcome: Sendable, Hashable {
    /// The bytes have been stored.
    case written
    /// The bytes that were loaded.
    case bytes([UInt8])
    /// The answer to a request, as the guest saw it.
    case reply(GuestReply)
    /// It will do as it was told.
    case understood
    /// The guest's access was stopped at this address.
    case fault(GuestPhysicalAddress)
}

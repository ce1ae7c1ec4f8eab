/// One thing that a scripted guest is told to do, by itself, with its own instructions.
public enum GuestOperation: Sendable, Hashable {
    /// Store these bytes at this address.
    case write([UInt8], to: GuestPhysicalAddress)
    /// Load so many bytes from this address.
    case read(count: Int, from: GuestPhysicalAddress)
    /// Ask for a conversion, with these numbers whether they make sense or not.
    case request(address: UInt64, byteCount: UInt64, target: Ownership)
    /// Answer so from now on when asked to give memory up; a question that is still open is answered, too.
    case answerRemovals(RemovalAnswer)
}

/// Who wrote a page last.
@frozen
public enum Writer: UInt8, CaseIterable, Sendable {
    /// Nobody since the kernel zeroed it.
    case kernel
    /// The host.
    case host
    /// The guest.
    case guest
}

/// What is to become of a request whose range is not all RAM: guests convert device memory too.
public enum HoleRule: Sendable, Hashable {
    /// It is refused.
    case reject
    /// What is not RAM is passed over, however much it is; the RAM in the range is converted.
    case ignore
    /// At most so many base pages that are not RAM are passed over; with more of them the request is refused.
    case limit(pages: UInt64)
}

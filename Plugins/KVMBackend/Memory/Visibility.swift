/// Whether the host is to find a page, or to be kept from it.
enum Visibility: Sendable, Hashable {
    case shared
    case `private`

    /// The other one.
    var opposite: Visibility { self == .shared ? .private : .shared }
}

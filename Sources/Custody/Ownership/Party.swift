/// One of the two sides that a guest page can belong to.
public enum Party: String, Sendable, Hashable, CaseIterable, Codable {
    /// The virtual machine monitor, its devices, and every other process of the host.
    case host
    /// The virtual machine.
    case guest

    /// The other side.
    public var counterpart: Party { self == .host ? .guest : .host }
}

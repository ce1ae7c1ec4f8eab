/// What sort of requester asks: what rules tell apart.
public enum RequesterKind: String, Sendable, Hashable, CaseIterable, Codable {
    /// The guest.
    case guest
    /// The virtual machine monitor.
    case host
    /// A device of the monitor, on its own behalf.
    case device
}

extension Requester {
    /// What sort of requester it is.
    public var kind: RequesterKind {
        switch self {
        case .guest: .guest
        case .host: .host
        case .device: .device
        }
    }
}

public import Custody

/// Who asks for a conversion.
public enum Requester: Sendable, Hashable {
    /// The guest, on one of its virtual processors.
    case guest(processor: Int)
    /// The virtual machine monitor, or a component of it.
    case host(String)
    /// A device of the virtual machine monitor, on its own behalf.
    case device(String)

    /// The controller itself, when shared pages become private because their time is over.
    public static let timeBox = Requester.host("time-box")

    /// The side that the requester is on.
    public var party: Party {
        switch self {
        case .guest: .guest
        case .host, .device: .host
        }
    }
}

extension Requester: CustomStringConvertible {
    /// The requester as timelines name it.
    public var description: String {
        switch self {
        case .guest(let processor): "guest/vcpu\(processor)"
        case .host(let name): name
        case .device(let name): "device/\(name)"
        }
    }
}

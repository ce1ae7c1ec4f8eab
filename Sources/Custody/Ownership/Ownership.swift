/// Who may map a page: two parties, so four values.
///
/// The first three are the states of the guest_memfd proposal (`KVM_GMEM_ALL_MAPPABLE`, `KVM_GMEM_GUEST_MAPPABLE`,
/// `KVM_GMEM_NONE_MAPPABLE` in *KVM: Restricted mapping of guest_memfd at the host and arm64 support*, v5,
/// 20250117163001.2326672-1-tabba@google.com); the fourth is what ballooning and memory unplug do.
public enum Ownership: UInt8, Sendable, Hashable, CaseIterable {
    /// Nobody may map the page: its hand-over waits for the last reference of the side that gives it up.
    case inTransit = 0b00
    /// The host alone may map the page: ballooned, unplugged or reclaimed.
    case host = 0b01
    /// The guest alone may map the page.
    case `private` = 0b10
    /// Both sides may map the page.
    case shared = 0b11

    /// The four values in the order in which tables show them.
    public static let allCases: [Ownership] = [.shared, .private, .inTransit, .host]

    /// Whether `party` may map a page in this state.
    public func allows(_ party: Party) -> Bool {
        switch party {
        case .host: rawValue & 0b01 != 0
        case .guest: rawValue & 0b10 != 0
        }
    }

    /// The ownership that a configuration or a guest calls by this name.
    public init?(name: String) {
        guard let match = Ownership.allCases.first(where: { $0.description == name }) else { return nil }
        self = match
    }
}

extension Ownership: CustomStringConvertible {
    /// The name in the field's terms.
    public var description: String {
        switch self {
        case .shared: "shared"
        case .private: "private"
        case .inTransit: "in-transit"
        case .host: "host"
        }
    }
}

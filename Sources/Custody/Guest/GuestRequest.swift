/// What a guest asks for, as it sent it: nothing in here has been checked.
public struct GuestRequest: Sendable, Hashable, Codable {
    /// The virtual processor that asked.
    public let processor: Int
    /// The first byte, in guest-physical bytes.
    public let address: UInt64
    /// The length in bytes.
    public let byteCount: UInt64
    /// The ownership that the guest wants.
    public let target: Ownership

    /// A request as it came in.
    public init(processor: Int, address: UInt64, byteCount: UInt64, target: Ownership) {
        self.processor = processor
        self.address = address
        self.byteCount = byteCount
        self.target = target
    }
}

/// How the host's access to a page was stopped.
public struct HostFault: Error, Sendable, Hashable {
    /// Who stopped it.
    public let enforcement: Enforcement
    /// The guest-physical address of the access.
    public let address: GuestPhysicalAddress
    /// What was seen, for people: the signal that the kernel sent, for example.
    public let evidence: String

    /// Describes a stopped access.
    public init(enforcement: Enforcement, address: GuestPhysicalAddress, evidence: String) {
        self.enforcement = enforcement
        self.address = address
        self.evidence = evidence
    }
}

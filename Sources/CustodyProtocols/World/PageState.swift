/// What the file and the page tables say about one page of the file.
@frozen
public struct PageState: Hashable, Sendable {
    /// Who may map the page.
    public var mappability: Mappability
    /// Who wrote last to the folio that backs the page.
    public var writer: Writer
    /// Whether the guest's page tables map the page.
    public var isGuestMapped: Bool
    /// One bit for every host address space that maps the page, address space 0 in the lowest.
    public var hostMappings: UInt8

    /// A page as a new file has it: mapped nowhere, never written.
    @inlinable
    public init(
        mappability: Mappability = .all,
        writer: Writer = .kernel,
        isGuestMapped: Bool = false,
        hostMappings: UInt8 = 0
    ) {
        self.mappability = mappability
        self.writer = writer
        self.isGuestMapped = isGuestMapped
        self.hostMappings = hostMappings
    }
}

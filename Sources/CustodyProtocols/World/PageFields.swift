/// The fields of a page, each by itself: a world can tell which of them a step reads and which it writes.
///
/// ``PageState`` is a value that tells nothing; ``FolioWorld/Page`` says which one a world hands out.
public protocol PageFields {
    /// Who may map the page.
    var mappability: Mappability { get set }
    /// Who wrote last to the folio that backs the page.
    var writer: Writer { get set }
    /// Whether the guest's page tables map the page.
    var isGuestMapped: Bool { get set }
    /// One bit for every host address space that maps the page, address space 0 in the lowest.
    var hostMappings: UInt8 { get set }
}

extension PageState: PageFields {}

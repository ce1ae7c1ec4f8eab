/// Who may map a page, as the file records it for every page index.
///
/// Source: `enum folio_mappability`, lore 20250117163001.2326672-6-tabba@google.com; renamed to
/// `folio_shareability` in lore 20250328153133.3504118-5-tabba@google.com with the same values.
/// The in-place conversion of version 8 knows the first two only.
@frozen
public enum Mappability: UInt8, CaseIterable, Sendable {
    /// Host and guest (`KVM_GMEM_ALL_MAPPABLE`): the page is shared. The value of an index nobody ever stored.
    case all = 0b00
    /// The guest alone (`KVM_GMEM_GUEST_MAPPABLE`): the page is private.
    case guest = 0b10
    /// Nobody (`KVM_GMEM_NONE_MAPPABLE`): on its way from shared to private, until the host's references are gone.
    case none = 0b11

    /// Whether the guest may map a page that is in this state.
    @inlinable
    public var isGuestMappable: Bool { self != .none }
}

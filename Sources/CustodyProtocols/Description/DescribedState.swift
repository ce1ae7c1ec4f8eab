/// The states of a page as people speak of them: the mappability, with the pending state told apart.
public enum DescribedState: String, CaseIterable, Sendable {
    /// Shared: host and guest may map the page.
    case all = "ALL"
    /// In transit, nothing registered.
    case none = "NONE"
    /// In transit and registered: NONE, the folio has the type, the file's references are dropped.
    case pending = "PENDING"
    /// Private: the guest alone may map the page.
    case guest = "GUEST"

    /// The state of a page of a world.
    public init(of page: PageOffset, in world: some FolioWorld) {
        let isRegistered = world.cachedFolio(at: page).map { world.folio($0).has(.guestmem) } ?? false
        switch world.page(page).mappability {
        case .all: self = .all
        case .guest: self = .guest
        case .none: self = isRegistered ? .pending : .none
        }
    }
}

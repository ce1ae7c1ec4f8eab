/// What a back end can do, as values: what is not promised here is not to be relied on.
public struct Capabilities: Sendable, Equatable, Codable {
    /// What a conversion in each direction does to the bytes.
    public struct ContentsEffects: Sendable, Equatable, Codable {
        /// The effect of a page becoming private to the guest.
        public var toPrivate: ContentsEffect
        /// The effect of a page becoming shared.
        public var toShared: ContentsEffect
        /// The effect of a page going to the host.
        public var toHost: ContentsEffect

        /// The effects by direction.
        public init(toPrivate: ContentsEffect, toShared: ContentsEffect, toHost: ContentsEffect) {
            self.toPrivate = toPrivate
            self.toShared = toShared
            self.toHost = toHost
        }
    }

    /// Who notices that the last reference to a page in transit is gone.
    public enum PendingHandovers: String, Sendable, Hashable, CaseIterable, Codable {
        /// The ledger of leases; references it does not know of are not waited for.
        case ledger
        /// The ledger, and the back end for references that only it sees.
        case ledgerAndBackend = "ledger+backend"
    }

    /// What the guest can do with a page that is in transit.
    public enum TransitAccess: String, Sendable, Hashable, CaseIterable, Codable {
        /// Its access is stopped until the hand-over is over.
        case denied
        /// What it could do before the hand-over began.
        case asBefore
    }

    /// How memory can go back to the host.
    public enum Reclaim: String, Sendable, Hashable, CaseIterable, Codable {
        /// Not at all.
        case unsupported
        /// When the guest offers it.
        case offeredByGuest
        /// When the guest offers it, or agrees when asked.
        case askingGuest
    }

    /// The unit in which pages go to the host and come from it.
    public enum HostUnit: String, Sendable, Hashable, CaseIterable, Codable {
        /// The granularity, as everything else.
        case granularity
        /// A whole region of the layout, all of it in one ownership before: a memory module comes and goes as one.
        case region
    }

    /// How the pages that a guest wrote can be told.
    public enum DirtyLog: String, Sendable, Hashable, CaseIterable, Codable {
        /// Not at all.
        case none
        /// One bit a page.
        case bitmap
        /// A ring of page numbers.
        case ring
    }

    /// The unit of a change of ownership.
    public var granularity: PageSize
    /// Who stops the host from touching a private page.
    public var enforcement: Enforcement
    /// What conversions do to the bytes.
    public var contents: ContentsEffects
    /// Who notices the end of a hand-over.
    public var pendingHandovers: PendingHandovers
    /// What the guest can do with a page in transit.
    public var transitAccess: TransitAccess
    /// How memory goes back to the host.
    public var reclaim: Reclaim
    /// In what unit memory goes to the host and comes from it.
    public var hostUnit: HostUnit
    /// Whether a guest that has been asked for memory can be told that it is not wanted any more. Where it cannot, a
    /// hand-over to the host that is withdrawn, or given up at its deadline, leaves the ownership before, and the guest
    /// may still give the memory up later: that is reported as ``BackendObserver/guestOffers(_:)``. What it has been given
    /// by a change that is taken back it is asked for, and where it keeps it the pages are shared.
    public var takesRequestsBack: Bool
    /// The largest number of virtual processors.
    public var maximumProcessors: Int
    /// How dirty pages can be told.
    public var dirtyLog: DirtyLog
    /// Whether memory can be given its backing pages ahead of their first use.
    public var populate: Bool
    /// Whether regions can come and go while the guest runs.
    public var hotplug: Bool
    /// The largest guest, in bytes of RAM.
    public var maximumGuestBytes: UInt64
    /// The kinds of holders that the back end waits for where it sees them, and cannot see here: such a one may have a page
    /// that has become private. Unless its configuration accepts the kind by this name, no page becomes private. `nil` where
    /// it sees all that it waits for.
    public var unseenHolders: [String]?

    /// Declares capabilities. The optional abilities default to what is not there.
    public init(
        granularity: PageSize,
        enforcement: Enforcement,
        contents: ContentsEffects,
        pendingHandovers: PendingHandovers,
        transitAccess: TransitAccess,
        reclaim: Reclaim = .unsupported,
        hostUnit: HostUnit = .granularity,
        takesRequestsBack: Bool = true,
        maximumProcessors: Int,
        dirtyLog: DirtyLog = .none,
        populate: Bool = false,
        hotplug: Bool = false,
        maximumGuestBytes: UInt64,
        unseenHolders: [String]? = nil
    ) {
        self.granularity = granularity
        self.enforcement = enforcement
        self.contents = contents
        self.pendingHandovers = pendingHandovers
        self.transitAccess = transitAccess
        self.reclaim = reclaim
        self.hostUnit = hostUnit
        self.takesRequestsBack = takesRequestsBack
        self.maximumProcessors = maximumProcessors
        self.dirtyLog = dirtyLog
        self.populate = populate
        self.hotplug = hotplug
        self.maximumGuestBytes = maximumGuestBytes
        self.unseenHolders = unseenHolders
    }

    /// What a change to `ownership` does to the bytes.
    public func contentsEffect(of ownership: Ownership) -> ContentsEffect {
        switch ownership {
        case .private: contents.toPrivate
        case .shared: contents.toShared
        case .host: contents.toHost
        case .inTransit: .preserved
        }
    }
}

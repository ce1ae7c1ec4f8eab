package import Custody

extension Capabilities {
    /// What back ends of tests can do, but for what a test is about.
    package static func ofTest(
        _ layout: GuestMemoryLayout,
        enforcement: Enforcement = .none,
        contents: ContentsEffect = .zeroed,
        transitAccess: TransitAccess = .asBefore,
        reclaim: Reclaim = .askingGuest
    ) -> Capabilities {
        Capabilities(
            granularity: layout.granularity,
            enforcement: enforcement,
            contents: .init(toPrivate: contents, toShared: contents, toHost: contents),
            pendingHandovers: .ledgerAndBackend,
            transitAccess: transitAccess,
            reclaim: reclaim,
            maximumProcessors: 64,
            maximumGuestBytes: .max
        )
    }
}

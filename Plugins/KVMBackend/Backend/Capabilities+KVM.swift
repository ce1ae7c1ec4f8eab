import Custody

extension Capabilities {
    /// What a mode can do with a kernel's features, for a guest whose ownership changes in units of `granularity`.
    ///
    /// No kernel that was at hand has the two modes of memory attributes; for them this is what their interface promises.
    init(
        _ mode: KVMMode,
        _ features: KVMFeatures?,
        granularity: PageSize = .base,
        dirtyLog: DirtyLogChoice? = nil
    ) {
        let effect = mode.conversionEffect
        self.init(
            granularity: granularity,
            enforcement: mode == .revoked ? .process : .kernel,
            contents: ContentsEffects(
                toPrivate: effect,
                toShared: effect,
                // A shared page keeps its bytes on the way to the host; a private one is converted on it.
                toHost: effect == .preserved ? .preserved : .unspecified
            ),
            pendingHandovers: mode == .inPlace ? .ledgerAndBackend : .ledger,
            transitAccess: .asBefore,
            reclaim: .offeredByGuest,
            maximumProcessors: max(1, min(features?[.maximumProcessors] ?? 1, 256)),
            dirtyLog: (dirtyLog ?? .default(mode)).capability,
            populate: true,
            maximumGuestBytes: BootMemory.maximumReach
        )
    }
}

import Custody

extension Capabilities {
    /// What a mode can do with a kernel's features.
    ///
    /// No released kernel has the two modes of memory attributes for this back end; for them this says what their
    /// interface promises.
    init(_ mode: KVMMode, _ features: KVMFeatures?) {
        let contents: ContentsEffects =
            switch mode {
            case .dual: ContentsEffects(toPrivate: .zeroed, toShared: .zeroed, toHost: .unspecified)
            case .revoked: ContentsEffects(toPrivate: .preserved, toShared: .preserved, toHost: .preserved)
            case .attributes: ContentsEffects(toPrivate: .discarded, toShared: .discarded, toHost: .unspecified)
            case .inPlace: ContentsEffects(toPrivate: .unspecified, toShared: .unspecified, toHost: .unspecified)
            }
        self.init(
            granularity: .base,
            enforcement: mode == .revoked ? .process : .kernel,
            contents: contents,
            pendingHandovers: mode == .inPlace ? .ledgerAndBackend : .ledger,
            transitAccess: .asBefore,
            reclaim: .offeredByGuest,
            maximumProcessors: max(1, min(features?[.maximumProcessors] ?? 1, 256)),
            maximumGuestBytes: BootMemory.maximumReach
        )
    }
}

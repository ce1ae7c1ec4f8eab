import CustodyProtocols

/// The steps that are taken first and alone: each can always be taken, commutes with every step that another actor can
/// take before it, and no property sees it.
struct IndependentSteps: Sendable {
    private var low: UInt64 = 0
    private var high: UInt64 = 0

    /// No step, where nothing is to be left out.
    init() {}

    /// The steps that are independent in `configuration`.
    init(_ configuration: Configuration) {
        // They release a lock, which nobody else can touch before, or work on registers alone.
        insert([
            .lookupUnlockStale, .callbackUnlockFolio, .callbackReleaseLock, .completerUnlockFolio,
            .completerReleaseLock, .clearUnlockFolio, .clearReleaseLock, .registerUnlockFolio, .registerReleaseLock,
            .registerReturn, .setUnlockFolio, .setReleaseLock, .faultReleaseOffsets, .faultReleaseInvalidate,
            .faultUnlockFolio, .faultRefuseUnlockFolio, .guestUnlockFolio, .guestReleaseInvalidate, .punchUnlockFolio,
            .punchReleaseOffsets, .truncateUnlockFolio, .poisonReleaseLock, .poisonUnlockFolio,
        ])
        // With a planted defect, locks may not keep what the following relies on.
        guard configuration.mutation == nil else { return }
        // They look at the state of the page, or at the type, under the lock without which neither changes.
        insert([.faultCheckMappable, .setLoad])
        let kinds = configuration.operations.map(\.kind)
        if !configuration.handover.machine.isInPlace { insert([.faultCheckType, .setCheckType]) }
        // They look for what nobody does here.
        if !kinds.contains(.poison) { insert([.faultCheckPoison, .guestCheckPoison]) }
        let isPopulated = !configuration.folios.contains(.absent)
        let discards = kinds.contains(.punchHole) || kinds.contains(.tearDown)
        if isPopulated, !discards { insert([.speculateLoad, .faultZero, .guestZero]) }
    }

    private mutating func insert(_ steps: [Step]) {
        for step in steps {
            let bit: UInt64 = 1 &<< UInt64(step.rawValue & 63)
            if step.rawValue < 64 { low |= bit } else { high |= bit }
        }
    }

    /// Whether the step is one of them.
    @inline(__always)
    func contains(_ step: Step) -> Bool {
        let word = step.rawValue < 64 ? low : high
        return word &>> UInt64(step.rawValue & 63) & 1 == 1
    }
}

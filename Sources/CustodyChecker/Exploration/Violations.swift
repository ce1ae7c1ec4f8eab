/// The properties that one state or transition breaks.
struct Violations {
    private var bits: UInt32 = 0
    /// Whether the kernel would crash or corrupt memory: nothing that follows means anything.
    private(set) var isFatal = false

    var isEmpty: Bool { bits == 0 }

    /// Adds a property.
    @inline(__always)
    mutating func insert(_ property: Property, fatal: Bool = false) {
        bits |= property.bit
        isFatal = isFatal || fatal
    }

    /// Whether all of these are among `other`.
    func isSubset(of other: Violations) -> Bool { bits & ~other.bits == 0 }

    func contains(_ property: Property) -> Bool { bits & property.bit != 0 }

    /// The properties, in order.
    var properties: [Property] { bits == 0 ? [] : Property.allCases.filter(contains) }
}

extension Property {
    /// A bit of its own.
    @inline(__always)
    var bit: UInt32 {
        switch self {
        case .noHostAccessToPrivate: 1 << 0
        case .neverPrivateWhileHostMapped: 1 << 1
        case .neverPrivateWhileHeld: 1 << 2
        case .noUnderflow: 1 << 3
        case .noFreeWhileReferenced: 1 << 4
        case .noUseAfterFree: 1 << 5
        case .completesOnce: 1 << 6
        case .handoverNotLost: 1 << 7
        case .noStrandedCaller: 1 << 8
        case .noSelfDeadlock: 1 << 9
        case .noDeadlock: 1 << 10
        case .noLivelock: 1 << 11
        case .locksHeld: 1 << 12
        case .neverSleepsInAtomic: 1 << 13
        case .refusalChangesNothing: 1 << 14
        case .privateStaysPrivate: 1 << 15
        case .answerNamesBlocker: 1 << 16
        case .noStaleContents: 1 << 17
        case .noWarning: 1 << 18
        case .completedIsTrue: 1 << 19
        case .faultsObeyState: 1 << 20
        }
    }
}

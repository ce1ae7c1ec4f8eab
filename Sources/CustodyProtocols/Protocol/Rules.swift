/// Where the protocols differ. The machine reads these and nothing else: there is no second machine.
public struct Rules: Hashable, Sendable {
    /// How a request for private memory looks at the references.
    public enum Check: UInt8, Sendable {
        /// Reads the count and decides.
        case look
        /// Swaps the expected count for zero, decides while nobody can take a reference, and swaps it back.
        case freeze
    }

    /// How a hand-over that cannot complete at once is registered.
    public enum Registration: UInt8, Sendable {
        /// In a call of its own: sets the type, subtracts the file's references and looks at the rest.
        case subtractAndLook
        /// In a call of its own: sets the type and drops the file's references; only the final put completes.
        case dropOnly
        /// In a call of its own: sets the type while the count is frozen.
        case freeze
        /// In the same critical section as the request.
        case withRequest
        /// Not at all: the caller asks again (in-place conversion).
        case never

        /// Whether registration is a call of its own.
        public var isSeparate: Bool { self != .withRequest && self != .never }
    }

    /// What the final put of a registered folio does.
    public enum FinalPut: UInt8, Sendable {
        /// Completes the hand-over on the stack of whoever put.
        case completesInline
        /// Hands over to the completer.
        case queues
    }

    /// What a truncation does to a registered folio.
    public enum Truncation: UInt8, Sendable {
        /// Nothing.
        case ignoresPending
        /// Restores it first and erases the state of the range.
        case restoresAndErases
        /// Restores it under the folio lock; the page becomes private.
        case restoresAndCompletes
    }

    /// How a memory failure comes by the invalidate lock, which it asks for while it holds the folio lock.
    public enum PoisonLock: UInt8, Sendable {
        /// It waits for it.
        case waits
        /// It does without what the lock is for where somebody else has it, and fails.
        case tries
        /// It does not take it.
        case none
    }

    /// How a request for private memory looks at the references.
    public var check: Check
    /// How a hand-over is registered.
    public var registration: Registration
    /// The lock that protects the mappability.
    public var stateLock: Lock
    /// What the final put of a registered folio does.
    public var finalPut: FinalPut
    /// What a truncation does to a registered folio.
    public var truncation: Truncation
    /// Whether the final put looks whether the folio was truncated before it follows `folio->mapping`.
    public var checksMapping: Bool
    /// Whether a completion on the stack of a final put takes the folio lock.
    public var completionLocksFolio: Bool
    /// Whether making a page shared stores the state before it unlocks the folio.
    public var storesBeforeUnlock: Bool
    /// Whether a guest fault takes the state lock before the folio lock.
    public var guestLocksStateFirst: Bool
    /// Whether a conversion in place looks for mappings and pins before it compares the count.
    public var looksForMappings: Bool
    /// How a memory failure comes by the invalidate lock.
    public var poisonLock: PoisonLock

    /// The proposal of 17 January 2025.
    public static let version5 = Rules(
        check: .look,
        registration: .subtractAndLook,
        stateLock: .invalidate,
        finalPut: .completesInline,
        truncation: .ignoresPending,
        checksMapping: false,
        completionLocksFolio: false,
        storesBeforeUnlock: true,
        guestLocksStateFirst: false,
        looksForMappings: false,
        poisonLock: .waits
    )
}

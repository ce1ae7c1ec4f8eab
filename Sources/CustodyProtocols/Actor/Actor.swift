/// How far an operation has come: a program counter and a few registers.
///
/// Trivial on purpose: whoever explores or simulates copies it freely.
@frozen
public struct Actor: Hashable, Sendable {
    /// The next step.
    public var step: Step
    /// Where to go on when the reference is dropped.
    public var afterPut: Step
    /// Where to go on when the folio is looked up and locked.
    public var afterLookup: Step
    /// Kernel's result so far.
    public var result: KernelResult
    /// Meaning of the answer for the page at the cursor.
    public var pageOutcome: Outcome
    /// Meaning of the answer for the range: the first one that is not `completed`.
    public var outcome: Outcome
    /// References that the actor itself holds on ``folio``.
    public var references: UInt8
    /// Touches that remain.
    public var remaining: UInt8
    /// One-bit registers.
    public var flags: Flags
    /// The folio the actor works on, or nil.
    public var folio: FolioID?
    /// The page worked on, in pages from the operation's start.
    public var cursor: UInt32
    /// The first page that did not get there, in pages from the operation's start, or `UInt32.max`.
    public var stop: UInt32
    /// A count that was read earlier.
    public var observed: Int32

    /// One-bit registers of an actor.
    @frozen
    public struct Flags: OptionSet, Hashable, Sendable {
        /// The bits.
        public var rawValue: UInt8
        /// The flags with bits `rawValue`.
        @inlinable
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// The actor froze the folio's count at zero.
        public static let froze = Flags(rawValue: 1 << 0)
        /// The folio was registered when the actor took the registration away.
        public static let registered = Flags(rawValue: 1 << 2)
        /// The actor began an invalidation of the guest's page table.
        public static let invalidates = Flags(rawValue: 1 << 1)
    }

    /// An actor that has done nothing yet and starts at `step`.
    @inlinable
    public init(step: Step, remaining: UInt8) {
        self.step = step
        afterPut = .done
        afterLookup = .done
        result = .success
        pageOutcome = .none
        outcome = .none
        references = 0
        self.remaining = remaining
        flags = []
        folio = nil
        cursor = 0
        stop = .max
        observed = 0
    }

    /// Whether the operation has ended.
    @inlinable
    public var isDone: Bool { step == .done }

    /// What the operation answered so far.
    @inlinable
    public func answer(to operation: Operation) -> Answer {
        Answer(
            kernel: result,
            outcome: outcome,
            firstStop: stop == .max ? nil : PageOffset(operation.start.rawValue &+ UInt64(stop))
        )
    }
}

/// What an actor sets out to do: constant while it runs.
@frozen
public struct Operation: Hashable, Sendable {
    /// The kind of work.
    public var kind: Kind
    /// The first page worked on.
    public var start: PageOffset
    /// How many pages are worked on, at least one. The range lies within the file.
    public var count: UInt64
    /// How often the actor touches a page before it lets go, for kinds that touch pages.
    public var accesses: UInt8
    /// Whether a touch writes.
    public var writes: Bool
    /// Where the actor runs.
    public var context: Context
    /// The host address space (0 to 7) whose page table is used, for kinds that use one.
    public var addressSpace: UInt8
    /// What a converter does with the answer.
    public var behavior: CallerBehavior

    /// An operation on `count` pages from `start`.
    @inlinable
    public init(
        _ kind: Kind,
        start: PageOffset = PageOffset(0),
        count: UInt64 = 1,
        accesses: UInt8 = 1,
        writes: Bool = true,
        context: Context = .process,
        addressSpace: UInt8 = 0,
        behavior: CallerBehavior = .usesOutcome
    ) {
        self.kind = kind
        self.start = start
        self.count = count
        self.accesses = accesses
        self.writes = writes
        self.context = context
        self.addressSpace = addressSpace
        self.behavior = behavior
    }

    /// The kinds of actors.
    @frozen
    public enum Kind: UInt8, CaseIterable, Sendable {
        /// Makes a range private: the guest unshares it. Where the protocol has two calls, both.
        case convertToPrivate
        /// Makes a range shared, also one whose way to private has not ended.
        case convertToShared
        /// The first kernel call of a conversion alone: the request, without registration (`gmem_clear_mappable`).
        case requestPrivate
        /// The second kernel call of a conversion alone: registration (`kvm_slot_gmem_register_callback`).
        case register
        /// Touches a page through a host mapping and faults it in if it is not mapped.
        case hostAccess
        /// Removes a range from a host address space.
        case hostUnmap
        /// Pins a page through a host mapping without a lock (fast GUP), touches it, and lets go.
        case pin
        /// Takes a reference without a mapping unless the count is zero, never touches the page, and drops it.
        case speculate
        /// Holds a reference from the beginning (DMA, vmsplice), touches the page through it, and drops it.
        case hold
        /// Touches a page as the guest and faults it in if the guest's page tables do not map it.
        case guestAccess
        /// Punches a hole: discards the memory of a range.
        case punchHole
        /// Unmaps the file everywhere, discards all of it and ends the inode.
        case tearDown
        /// Reports the memory of a page as broken, as `memory_failure` does.
        case poison
        /// The worker that completes hand-overs for `gmem-custody`. It waits for work for ever.
        case completer

        /// Whether the operation asks for a page to change hands.
        @inlinable
        public var isConversion: Bool {
            switch self {
            case .convertToPrivate, .convertToShared, .requestPrivate, .register: true
            default: false
            }
        }
    }

    /// Where an actor runs when it drops a reference.
    @frozen
    public enum Context: UInt8, CaseIterable, Sendable {
        /// In a process: it may sleep.
        case process
        /// In an interrupt or under a spinning lock: it must not sleep.
        case atomic
    }

    /// What a caller does when the kernel does not answer "done".
    @frozen
    public enum CallerBehavior: UInt8, CaseIterable, Sendable {
        /// Reads our unambiguous outcome: unmaps and asks again when blocked, waits when pending.
        case usesOutcome
        /// Believes that every `-EAGAIN` means "registered" and waits, as the comment of version 5 promises.
        case believesRegistered
        /// Asks again until the answer is zero.
        case asksAgain
        /// Reports the answer and goes.
        case leaves
    }
}

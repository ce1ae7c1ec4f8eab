public import Custody
public import CustodyProtocols

/// What can be done in a scenario. Addresses and sizes are in bytes.
public enum ScenarioAction: Sendable, Hashable {
    /// The guest stores bytes.
    case guestWrites(processor: Int, bytes: [UInt8], address: UInt64, Access)
    /// The guest loads bytes and compares them.
    case guestReads(processor: Int, Expectation, address: UInt64, Access)
    /// The guest asks for a conversion. `heldBy` is a device that must be among the holders then.
    case guestRequests(
        processor: Int,
        target: Ownership,
        address: UInt64,
        byteCount: UInt64,
        Reply,
        heldBy: String?
    )
    /// The guest answers so from now on when it is asked to give memory up.
    case guestAnswersRemovals(RemovalAnswer)
    /// The host copies bytes in, as its ledger allows.
    case hostWrites(bytes: [UInt8], address: UInt64, Access)
    /// The host copies bytes out, as its ledger allows, and compares them.
    case hostReads(Expectation, address: UInt64, Access)
    /// The host reaches for a byte without asking its ledger: what stops it is the back end's enforcement alone.
    case hostProbes(address: UInt64, Access)
    /// The host throws the contents of pages away; their ownership stays.
    case hostDiscards(PageRange, Access)
    /// The host asks for a conversion.
    case hostConverts(
        target: Ownership,
        PageRange,
        contents: String?,
        deadline: Duration?,
        Outcome,
        heldBy: String?
    )
    /// The host withdraws the newest pending hand-over.
    case hostCancels
    /// The host sets a mark for the policy.
    case hostMarks(String)
    /// A device takes a lease, under its name. With `hold`, it lets go by itself when so much time has passed.
    case deviceLeases(Holder, LeaseKind, PageRange, hold: Duration?, Access)
    /// A device stores bytes through its lease.
    case deviceWrites(String, bytes: [UInt8], address: UInt64)
    /// A device loads bytes through its lease and compares them.
    case deviceReads(String, Expectation, address: UInt64)
    /// A device gives its lease up.
    case deviceReleases(String)
    /// Another process maps pages, under its name.
    case neighbourMaps(String, PageRange, Access)
    /// Another process stores bytes through its mapping.
    case neighbourWrites(String, bytes: [UInt8], address: UInt64)
    /// Another process loads bytes through its mapping and compares them.
    case neighbourReads(String, Expectation, address: UInt64)
    /// Another process gives its mapping up.
    case neighbourReleases(String)
    /// The pages have memory of the host's behind them, or none at all.
    case backed(Bool, PageRange)
    /// Time passes.
    case wait(Duration)
    /// All pages of the range are in this ownership.
    case check(Ownership, PageRange)
    /// The newest pending hand-over has ended in this way, or does so within a time that is not waited out.
    case settled(Settlement, within: Duration)
    /// A call of the kernel's own is made, by the protocol of the simulation. The operation's start is not used.
    case kernelCalls(CustodyProtocols.Operation, address: UInt64, KernelExpectation)
    /// A process begins such a call, and goes on whenever the schedule lets it; with `steps`, it is left there.
    case processBegins(String, CustodyProtocols.Operation, address: UInt64, steps: Int?)
    /// A process makes so many steps, and then waits for what is expected, by default nothing.
    case processAdvances(String, steps: Int, waitsFor: Wait)
    /// A process goes on to its end.
    case processFinishes(String, KernelExpectation)
    /// The kernel has this for a page.
    case kernelState(address: UInt64, Mappability, registered: Bool?, references: Int?, mappings: Int?)
    /// Of what should never happen in a kernel, exactly these things have happened so far.
    case kernelSaw(Events)

    /// What a call of the kernel is to come to.
    public struct KernelExpectation: Sendable, Hashable {
        /// What it returns, where that matters.
        public var result: KernelResult?
        /// What that means, where that matters.
        public var outcome: CustodyProtocols.Outcome?
        /// The first page that did not get there, in bytes of the guest, where that matters.
        public var stop: UInt64?
        /// What it waits for, for ever.
        public var stuck: Wait
    }

    /// The bytes that a load is to find.
    public enum Expectation: Sendable, Hashable {
        /// Exactly these.
        case bytes([UInt8])
        /// So many, whatever they are.
        case any(count: Int)

        /// How many bytes are loaded.
        public var count: Int {
            switch self {
            case .bytes(let bytes): bytes.count
            case .any(let count): count
            }
        }
    }

    /// What is to become of an access.
    public enum Access: String, Sendable, Hashable {
        /// It goes through.
        case reached
        /// The ledger refuses it.
        case refused
        /// The back end stops it.
        case stopped
        /// The back end allows it and cannot do it: memory is broken or used up, or the guest is gone.
        case failed
    }

    /// What a guest is to be told.
    public enum Reply: String, Sendable, Hashable {
        /// The pages are as asked.
        case done
        /// It should ask again.
        case retry
        /// No.
        case refused
    }

    /// What is to become of a conversion.
    public enum Outcome: String, Sendable, Hashable {
        /// The pages are as asked.
        case completed
        /// It is registered.
        case pending
        /// Leases must go first.
        case blocked
        /// The policy wants it later.
        case deferred
        /// It failed, and nothing has changed.
        case refused
    }

    /// How a hand-over is to end.
    public enum Settlement: String, Sendable, Hashable {
        /// The pages have changed hands.
        case completed
        /// It was withdrawn.
        case cancelled
        /// Its deadline passed.
        case expired
        /// The back end could not carry it out.
        case failed
    }
}

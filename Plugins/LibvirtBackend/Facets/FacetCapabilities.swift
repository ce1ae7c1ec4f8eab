#if Libvirt
import Custody

/// What one facet of a domain can do, as a value: what is not promised here is not to be relied on.
public struct FacetCapabilities: Sendable, Hashable, Codable {
    /// Who chooses the guest-physical addresses that a change is about.
    public enum RangeChoice: String, Sendable, Hashable, Codable {
        /// Who asks for it.
        case caller
        /// The guest: only an amount can be asked for.
        case guest
        /// All of the guest's memory, always.
        case everything
        /// None: the memory is beside the guest's RAM, and the guest maps it where it likes.
        case none
    }

    /// What a guest can do against it.
    public enum Refusal: String, Sendable, Hashable, Codable {
        /// Nothing: it is not asked.
        case never
        /// Do nothing for as long as it likes; nobody is told.
        case silent
        /// Do nothing, or refuse and be seen to.
        case reported
    }

    /// How the end of what was asked for is seen.
    public enum Ending: String, Sendable, Hashable, Codable {
        /// It has ended when the call comes back.
        case atOnce = "at-once"
        /// By an event of libvirt, confirmed by the live description and the kernel.
        case event
        /// By asking QEMU again and again: the event comes at most once a second.
        case polling
        /// Not at all: it holds for the life of the domain.
        case never
    }

    /// The facet's name.
    public let facet: String
    /// What of QEMU and libvirt does it.
    public let mechanism: String
    /// What it does, in a few words.
    public let effect: String
    /// The unit of a change, in bytes.
    public var granularity: UInt64
    /// Who chooses the addresses.
    public let rangeChoice: RangeChoice
    /// What the guest can do against it.
    public let refusal: Refusal
    /// Whether what was asked for can be taken back before it has ended.
    public let canBeWithdrawn: Bool
    /// How its end is seen.
    public let ending: Ending
    /// What it cannot do, in a few words.
    public let limits: String
    /// Whether the tests of this package run it on the real thing; launch security needs hardware that they have not met.
    public let isExercised: Bool
}

extension FacetCapabilities {
    /// Of an elastic pool. The granularity is the device's block size; this is the smallest there is.
    public static let elasticPool = FacetCapabilities(
        facet: "elastic pool",
        mechanism: "virtio-mem",
        effect: "memory comes from the host and goes back to it, as much as is asked for",
        granularity: 2 << 20,
        rangeChoice: .guest,
        refusal: .silent,
        canBeWithdrawn: true,
        ending: .polling,
        limits: "no range can be asked for, and a guest that holds the memory, or has no driver, leaves it pending",
        isExercised: true
    )

    /// Of a shared window.
    public static let sharedWindow = FacetCapabilities(
        facet: "shared window",
        mechanism: "ivshmem-plain",
        effect: "a file that host and guest both map comes and goes, beside the guest's RAM",
        granularity: 1 << 20,
        rangeChoice: .none,
        refusal: .silent,
        canBeWithdrawn: false,
        ending: .event,
        limits:
            "sizes are powers of two, contents are copied in and out, and a request to give it up cannot be withdrawn",
        isExercised: true
    )

    /// Of a balloon.
    public static let balloon = FacetCapabilities(
        facet: "balloon",
        mechanism: "virtio-balloon",
        effect: "pressure on the guest to do with less memory",
        granularity: 4096,
        rangeChoice: .guest,
        refusal: .silent,
        canBeWithdrawn: true,
        ending: .polling,
        limits: "nothing stops the guest from using the pages again, it may run out of memory, and without a driver it "
            + "leaves it pending",
        isExercised: true
    )

    /// Of stopping the world.
    public static let stopTheWorld = FacetCapabilities(
        facet: "stop the world",
        mechanism: "virDomainSuspend",
        effect: "no virtual processor runs while a window is open",
        granularity: 4096,
        rangeChoice: .everything,
        refusal: .never,
        canBeWithdrawn: false,
        ending: .atOnce,
        limits: "devices' transfers that are under way may still end, and time passes in the guest when it goes on",
        isExercised: true
    )

    /// Of inspection.
    public static let inspection = FacetCapabilities(
        facet: "inspection",
        mechanism: "virDomainMemoryPeek",
        effect: "a copy of guest-physical bytes, whatever their ownership",
        granularity: 1,
        rangeChoice: .caller,
        refusal: .never,
        canBeWithdrawn: false,
        ending: .atOnce,
        limits: "it reads and never writes, and is one moment only while the world is stopped",
        isExercised: true
    )

    /// Of launch security.
    public static let launchSecurity = FacetCapabilities(
        facet: "launch security",
        mechanism: "SEV, SEV-SNP, TDX",
        effect: "the processor keeps the host out of what the guest has private",
        granularity: 4096,
        rangeChoice: .guest,
        refusal: .never,
        canBeWithdrawn: false,
        ending: .never,
        limits: "it is chosen before the domain starts, and the guest's conversions do not reach libvirt",
        isExercised: false
    )

    /// Every facet that a domain can have.
    public static let all: [FacetCapabilities] = [
        .elasticPool, .sharedWindow, .balloon, .stopTheWorld, .inspection, .launchSecurity,
    ]
}

extension FacetCapabilities: CustomStringConvertible {
    /// One line for an operator.
    public var description: String {
        var parts = [effect, "in units of \(ByteCount(granularity))", "addresses: \(rangeChoice.rawValue)"]
        parts.append("the guest's refusal: \(refusal.rawValue)")
        parts.append("its end: \(ending.rawValue)\(canBeWithdrawn ? ", can be withdrawn" : "")")
        parts.append("but \(limits)")
        if !isExercised { parts.append("not exercised on hardware") }
        return "\(facet) (\(mechanism)): " + parts.joined(separator: "; ")
    }
}

#endif

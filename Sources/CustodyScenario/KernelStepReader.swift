import Custody
import CustodyProtocols

/// Reads the steps of a scenario that drive the kernel's protocol itself.
enum KernelStepReader {
    static func call(_ section: inout ConfigurationSection) throws(ConfigurationError) -> ScenarioAction {
        let kind = try ScenarioReader.required(section, try section.choice("kernel", of: kinds), "kernel")
        let address = try ScenarioReader.address(&section)
        let size = try section.byteCount("size")?.rawValue ?? PageSize.base.bytes
        guard size.isMultiple(of: PageSize.base.bytes) else {
            let unit = ByteCount(PageSize.base.bytes)
            throw ConfigurationError("‘size’ must be a multiple of \(unit)", at: section.location)
        }
        let callers: KeyValuePairs<String, CustodyProtocols.Operation.CallerBehavior> = [
            "uses-outcome": .usesOutcome, "believes-registered": .believesRegistered, "asks-again": .asksAgain,
            "leaves": .leaves,
        ]
        let operation = Operation(
            kind,
            count: size / PageSize.base.bytes,
            accesses: UInt8(try section.integer("accesses", in: 0...255) ?? 1),
            writes: try section.boolean("writes") ?? false,
            context: try section.boolean("atomic") == true ? .atomic : .process,
            addressSpace: UInt8(try section.integer("space", in: 0...7) ?? 0),
            behavior: try section.choice("caller", of: callers) ?? .leaves
        )
        guard let name = try section.string("as") else {
            return .kernelCalls(operation, address: address, try expectation(&section))
        }
        let steps = try section.integer("steps", in: 0...10_000)
        return .processBegins(name, operation, address: address, steps: steps)
    }

    static func process(_ section: inout ConfigurationSection) throws(ConfigurationError) -> ScenarioAction {
        let name = try ScenarioReader.required(section, try section.string("process"), "process")
        guard let steps = try section.integer("steps", in: 0...10_000) else {
            return .processFinishes(name, try expectation(&section))
        }
        return .processAdvances(name, steps: steps, waitsFor: try section.choice("waits", of: waits) ?? .none)
    }

    static func state(_ section: inout ConfigurationSection) throws(ConfigurationError) -> ScenarioAction {
        let states: KeyValuePairs<String, Mappability> = ["all": .all, "guest": .guest, "none": .none]
        return .kernelState(
            address: try ScenarioReader.address(&section),
            try ScenarioReader.required(section, try section.choice("state", of: states), "state"),
            registered: try section.boolean("registered"),
            references: try section.integer("references", in: -1000...1000),
            mappings: try section.integer("mappings", in: 0...1000)
        )
    }

    static func saw(_ section: inout ConfigurationSection) throws(ConfigurationError) -> ScenarioAction {
        var events: Events = []
        for node in try section.list("saw") ?? [] {
            guard let match = ordeals.first(where: { $0.key == node.text }) else {
                throw ConfigurationError(
                    unknown: "event",
                    node.text ?? "",
                    known: ordeals.map(\.key),
                    at: node.location
                )
            }
            events.formUnion(match.value)
        }
        return .kernelSaw(events)
    }

    /// What should never happen in a kernel.
    static var ordeals: KeyValuePairs<String, Events> {
        [
            "host-touched-private": .hostTouchedPrivate, "underflow": .underflow, "use-after-free": .usedAfterFree,
            "null-mapping": .nullMapping, "warning": .warned, "slept-in-atomic": .sleptInAtomic,
            "unlocked": .unlocked, "completed-out-of-turn": .completedOutOfTurn, "stale-contents": .staleContents,
        ]
    }

    private static func expectation(
        _ section: inout ConfigurationSection
    ) throws(ConfigurationError) -> ScenarioAction.KernelExpectation {
        var expectation = ScenarioAction.KernelExpectation(stuck: try section.choice("stuck", of: waits) ?? .none)
        expectation.result = try section.choice("expect", among: KernelResult.allCases.map { ($0.name, $0) })
        let outcomes: KeyValuePairs<String, CustodyProtocols.Outcome> = [
            "completed": .completed, "blocked-by-mapping": .blockedByMapping,
            "blocked-by-reference": .blockedByReferences, "pending": .pending, "cancelled": .cancelled,
            "failed": .failed,
        ]
        expectation.outcome = try section.choice("means", of: outcomes)
        expectation.stop = try section.byteCount("stop")?.rawValue
        // As with every other step: where nothing is said, it is expected to succeed.
        if expectation.result == nil, expectation.outcome == nil, expectation.stuck == .none {
            expectation.result = .success
        }
        return expectation
    }

    private static var waits: KeyValuePairs<String, Wait> {
        [
            "invalidate-lock": .invalidateLock, "offsets-lock": .offsetsLock, "folio-lock": .folioLock,
            "own-lock": .ownLock, "count": .count, "handover": .handover, "work": .work,
        ]
    }

    private static var kinds: KeyValuePairs<String, CustodyProtocols.Operation.Kind> {
        [
            "convert-to-private": .convertToPrivate, "convert-to-shared": .convertToShared,
            "request-private": .requestPrivate, "register": .register, "host-access": .hostAccess,
            "host-unmap": .hostUnmap, "pin": .pin, "speculate": .speculate, "hold": .hold,
            "guest-access": .guestAccess, "punch-hole": .punchHole, "tear-down": .tearDown, "poison": .poison,
        ]
    }
}

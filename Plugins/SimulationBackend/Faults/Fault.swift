public import Custody

/// Something that is to go wrong, once, at a certain call.
public struct Fault: Sendable, Hashable {
    /// The calls that can go wrong.
    public enum Point: String, Sendable, Hashable, CaseIterable {
        /// A change is checked and reserved for.
        case prepare
        /// The host's own mappings of the pages are removed, the first step of a commit.
        case unmap
        /// A change is carried out.
        case commit
        /// The contents of pages are thrown away.
        case discard
        /// A page gets its memory.
        case populate
        /// A pending hand-over completes.
        case complete
    }

    /// What can go wrong.
    public enum Effect: Sendable, Hashable {
        /// The call fails with this code.
        case fail(BackendError.Code)
        /// The call takes so much longer.
        case delay(Duration)
        /// The guest is gone.
        case lose
        /// The memory of this page breaks, and the call goes on.
        case poison(GuestPhysicalAddress)
    }

    /// Where.
    public var point: Point
    /// Which of the calls, from 1.
    public var occurrence: Int
    /// What.
    public var effect: Effect

    /// A fault at the `occurrence`-th call of a kind.
    public init(at point: Point, occurrence: Int = 1, _ effect: Effect) {
        self.point = point
        self.occurrence = occurrence
        self.effect = effect
    }

    /// Reads a fault: the keys `at`, `nth`, and one of `fail`, `delay`, `lose`, `poison`.
    ///
    /// - Throws: `ConfigurationError`.
    public init(_ node: ConfigurationNode) throws(ConfigurationError) {
        var section = try ConfigurationSection(node)
        let points: KeyValuePairs<String, Point> = [
            "prepare": .prepare, "unmap": .unmap, "commit": .commit, "discard": .discard, "populate": .populate,
            "complete": .complete,
        ]
        guard let point = try section.choice("at", of: points) else { throw section.missing("at") }
        self.point = point
        occurrence = try section.integer("nth", in: 1...1_000_000_000) ?? 1
        let codes: KeyValuePairs<String, BackendError.Code> = [
            "resources-exhausted": .resourcesExhausted, "unsupported": .unsupported, "system": .system,
            "invalid-argument": .invalidArgument, "poisoned": .poisoned,
        ]
        if let code = try section.choice("fail", of: codes) {
            effect = .fail(code)
        } else if let delay = try section.duration("delay") {
            effect = .delay(delay)
        } else if try section.boolean("lose") == true {
            effect = .lose
        } else if let address = try section.byteCount("poison") {
            effect = .poison(GuestPhysicalAddress(address.rawValue))
        } else {
            throw ConfigurationError("a fault has one of the keys fail, delay, lose, poison", at: node.location)
        }
        try section.finish()
    }
}

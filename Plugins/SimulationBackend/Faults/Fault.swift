public import Custody
import CustodyOptions

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

    /// What a fault of a file may be: the keys `at`, `nth`, and one of `fail`, `delay`, `lose`, `poison`.
    static let format = Format<Fault>.mapping(
        .required("at", .word(), "Which calls."),
        .defaulting("nth", .integer(in: 1...1_000_000_000), to: "1", "Which of them, from 1."),
        .optional("fail", code, "It fails with this code."),
        .optional("delay", .duration(), "It takes so much longer."),
        .optional("lose", .yes, "The guest is gone."),
        .optional("poison", .size, "The memory of the page at this address breaks."),
        .location
    ) { (point: Point, occurrence, code, delay, isLost, address, location) throws(ConfigurationError) in
        let effects: [Effect] = [
            code.map { .fail($0) }, delay.map { .delay($0) }, isLost.map { _ in .lose },
            address.map { .poison(GuestPhysicalAddress($0.rawValue)) },
        ].compactMap(\.self)
        guard effects.count == 1 else {
            throw ConfigurationError("a fault has one of the keys fail, delay, lose, poison", at: location)
        }
        return Fault(at: point, occurrence: occurrence, effects[0])
    }
    .exactlyOne(of: [["fail"], ["delay"], ["lose"], ["poison"]])

    private static let code = Format<BackendError.Code>.word([
        ("resources-exhausted", .resourcesExhausted), ("busy", .busy), ("unsupported", .unsupported),
        ("system", .system),
        ("invalid-argument", .invalidArgument), ("poisoned", .poisoned),
    ])
}

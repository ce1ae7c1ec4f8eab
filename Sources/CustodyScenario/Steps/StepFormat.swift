import Custody
import CustodyOptions

/// What a step of a scenario may be.
///
/// The forms are the one place that says which steps there are: files are read by them, and the schema is made of them.
enum StepFormat {
    /// An action, and the rule that is expected to decide about it.
    typealias Decided = (action: ScenarioAction, rule: String?)

    static let format = Format<Decided>
        .forms(of: "a step", guestRequests + plain(guest) + hostConversions + plain(host + others + kernel))
        .map { (step, location) in ScenarioStep(step.action, rule: step.rule, at: location) }

    /// The steps that no policy decides about.
    private static func plain(_ forms: [Form<ScenarioAction>]) -> [Form<Decided>] {
        forms.map { $0.map { (action, _) in (action, nil) } }
    }

    static let ownership = Format<Ownership>.word([
        ("shared", .shared), ("private", .private), ("host", .host), ("in-transit", .inTransit),
    ])

    static let rule = Key<String?>.optional("rule", .text, "The rule that is expected to decide last.")

    static let holder = Key<String?>.optional("held-by", .text, "The device that must be among the holders.")

    static let target = Key.required("target", ownership, "What the pages are to become.")

    /// What is to become of an access: the words for one that goes through, one that must not, and what cannot be done.
    static func access(or failure: ScenarioAction.Access...) -> Key<ScenarioAction.Access> {
        .defaulting(
            "expect",
            .word(([.reached] + failure + [.failed]).map { ($0.rawValue, $0) }),
            to: "reached",
            "What is to become of it."
        )
    }
}

extension Key<UInt64> {
    /// The first byte.
    static var address: Key { .required("at", Format.size.map { (size, _) in size.rawValue }, "The first byte.") }
}

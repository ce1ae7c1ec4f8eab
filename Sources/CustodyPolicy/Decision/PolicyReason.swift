/// Which rule made a decision, and why.
public struct PolicyReason: Sendable, Hashable, Codable {
    /// The rule, by the name that a configuration gives it, for example `shared-budget`.
    public let rule: String
    /// Why: a part of a sentence, with the numbers that decided.
    public let text: String

    /// A reason of the rule.
    public init(rule: String, _ text: String) {
        self.rule = rule
        self.text = text
    }
}

extension PolicyReason: CustomStringConvertible {
    /// The text, and the rule in brackets.
    public var description: String { "\(text) [\(rule)]" }
}

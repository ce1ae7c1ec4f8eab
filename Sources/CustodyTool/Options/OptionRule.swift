/// What an option goes with: it is of no use without some others, and of none beside some.
///
/// A command has one for each of its options, so that none is dropped in silence.
struct OptionRule: Sendable {
    /// The option with its dashes, or an argument by its name.
    let name: String
    /// One of these must be there, too, where there are any.
    let needs: [String]
    /// None of these may be.
    let excludes: [String]

    init(_ name: String, needs: [String] = [], excludes: [String] = []) {
        self.name = name
        self.needs = needs
        self.excludes = excludes
    }

    /// What is wrong with a command line that has the `given` options, or `nil`.
    func violation(_ given: Set<String>) -> String? {
        guard given.contains(name) else { return nil }
        if let other = excludes.first(where: given.contains) { return "\(name) and \(other) exclude each other" }
        guard needs.isEmpty || !given.isDisjoint(with: needs) else {
            return "\(name) has no effect without \(needs.joined(separator: " or "))"
        }
        return nil
    }
}

extension [OptionRule] {
    /// The rules in words, for the help of a command.
    var text: String {
        let parts = flatMap { rule in
            (rule.needs.isEmpty ? [] : ["\(rule.name) needs \(rule.needs.joined(separator: " or "))"])
                + (rule.excludes.isEmpty ? [] : ["\(rule.name) excludes \(rule.excludes.joined(separator: ", "))"])
        }
        return "Options that go together: " + parts.joined(separator: "; ") + "."
    }
}

import ArgumentParser

/// Options and arguments, each with what it goes with.
protocol RuledArguments: ParsableArguments {
    /// A rule for each of them.
    static var rules: [OptionRule] { get }
}

extension RuledArguments {
    /// Holds what was given against the rules.
    func validate() throws { try checkRules() }

    /// Holds what was given against the rules: for those who have more to look at.
    ///
    /// - Throws: `ValidationError`.
    func checkRules() throws {
        let given = Set(named.filter(\.argument.isGiven).map(\.name))
        if let violation = Self.rules.lazy.compactMap({ $0.violation(given) }).first {
            throw ValidationError(violation)
        }
    }

    /// The options and arguments by their names. A property is called as its option.
    var named: [(name: String, argument: any NamedArgument)] {
        Mirror(reflecting: self).children.compactMap { label, value in
            guard let label = label?.dropFirst(), let argument = value as? any NamedArgument else { return nil }
            let words = label.map { $0.isUppercase ? "-\($0.lowercased())" : "\($0)" }.joined()
            return (argument.isPositional ? words : "--\(words)", argument)
        }
    }
}

/// An option, a flag or an argument of a command that has been parsed.
protocol NamedArgument {
    /// Whether it is found by its place rather than by its name.
    var isPositional: Bool { get }
    /// Whether it was given. One with a default value always counts as given.
    var isGiven: Bool { get }
}

extension NamedArgument {
    var isPositional: Bool { false }

    fileprivate func isThere(_ value: Any) -> Bool {
        if let flag = value as? Bool { return flag }
        let mirror = Mirror(reflecting: value)
        return mirror.displayStyle == .optional || mirror.displayStyle == .collection ? !mirror.children.isEmpty : true
    }
}

extension Option: NamedArgument {
    var isGiven: Bool { isThere(wrappedValue) }
}

extension Flag: NamedArgument {
    var isGiven: Bool { isThere(wrappedValue) }
}

extension Argument: NamedArgument {
    var isPositional: Bool { true }
    var isGiven: Bool { isThere(wrappedValue) }
}

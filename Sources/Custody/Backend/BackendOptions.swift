/// What a back end's own section of a configuration may be.
public struct BackendOptions: Sendable {
    /// How the section is read, and how a schema says the same.
    package let format: Format<ConfigurationSection>

    /// Options of which there is a table: a schema of configurations has them, too.
    package init<Value>(_ format: Format<Value>) {
        self.format = Format(format.schema) { (node, site) throws(ConfigurationError) in
            let reading = try format.read(node, site)
            return Reading(try ConfigurationSection(node), reading.text, parts: reading.parts)
        }
    }

    /// Options that a function reads to their end: unknown keys are errors. A schema of configurations leaves them open.
    public init(checkedBy check: @escaping @Sendable (ConfigurationSection) throws(ConfigurationError) -> Void) {
        format = Format(["type": ["object", "null"]]) { (node, _) throws(ConfigurationError) in
            let section = try ConfigurationSection(node)
            try check(section)
            return Reading(section, "{\(section.keys.joined(separator: ", "))}")
        }
    }

    /// Checks a section.
    ///
    /// - Throws: ``ConfigurationError`` for an unknown key or a value that is not accepted.
    public func check(_ section: ConfigurationSection) throws(ConfigurationError) {
        _ = try format.read(section.node, Site(key: "options"))
    }
}

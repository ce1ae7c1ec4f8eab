public import Custody

/// A kind of back end that a program has linked in: it can be looked at, and made.
///
/// The two have different contracts. Looking says what is missing and goes on. Making one that is not available is an
/// error with the same reasons, because somebody named it.
public protocol BackendProvider: Sendable {
    /// What its own section of a configuration is read as.
    associatedtype Options: Sendable

    /// The name that a configuration uses.
    var name: String { get }

    /// What it is, in a few words.
    var summary: String { get }

    /// Looks at the machine, once for each mode. Never fails, and leaves nothing behind.
    func probe() -> [BackendProbe]

    /// What its own section of a configuration may be. The section is read by this, the schema of configurations and
    /// `custody check-config` say the same, and a file is held against it also where another back end is going to be used.
    var options: Format<Options> { get }

    /// Makes a back end for a guest.
    ///
    /// - Throws: ``BackendCreationError``.
    func makeBackend(
        for guest: GuestConfiguration,
        options: Options
    ) throws(BackendCreationError) -> any MemoryBackend
}

extension BackendProvider {
    /// The section of this back end, as the choice that is made by it.
    public var choice: Format<BackendChoice> {
        let options = options
        return Format(options.schema) { (node, site) throws(ConfigurationError) in
            let section = try ConfigurationSection(node)
            let reading = try options.read(node, site)
            let choice = BackendChoice(self, reading.value, section: section)
            return Reading(choice, reading.text, parts: reading.parts)
        }
    }

    /// Reads a section.
    ///
    /// - Throws: ``ConfigurationError`` for an unknown key or a value that is not accepted.
    public func read(_ section: ConfigurationSection) throws(ConfigurationError) -> BackendChoice {
        try choice.read(section.node, Site(key: "options")).value
    }
}

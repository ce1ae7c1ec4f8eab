/// A kind of back end that a program has linked in: it can be looked at, and made.
///
/// The two have different contracts. Looking says what is missing and goes on. Making one that is not available is an
/// error with the same reasons, because somebody named it.
public protocol BackendProvider: Sendable {
    /// The name that a configuration uses.
    var name: String { get }

    /// What it is, in a few words.
    var summary: String { get }

    /// Looks at the machine, once for each mode. Never fails, and leaves nothing behind.
    func probe() -> [BackendProbe]

    /// What its own section of a configuration may be. It is checked also where another back end is going to be used.
    var options: BackendOptions { get }

    /// Makes a back end for a guest.
    ///
    /// - Parameters:
    ///   - guest: The guest.
    ///   - options: The back end's own section of the configuration. It is read to its end: unknown keys are errors.
    /// - Throws: ``BackendCreationError``.
    func makeBackend(
        for guest: GuestConfiguration,
        options: ConfigurationSection
    ) throws(BackendCreationError) -> any MemoryBackend
}

public import Custody

/// A back end with its options, which have been read: all that is missing is the guest.
public struct BackendChoice: Sendable {
    /// The back end's name.
    public let name: String
    /// The section that the options were read from.
    public let section: ConfigurationSection

    private let make: @Sendable (GuestConfiguration) throws(BackendCreationError) -> any MemoryBackend

    init<Provider: BackendProvider>(
        _ provider: Provider,
        _ options: Provider.Options,
        section: ConfigurationSection
    ) {
        name = provider.name
        self.section = section
        make = { (guest) throws(BackendCreationError) in try provider.makeBackend(for: guest, options: options) }
    }

    /// Makes the back end for a guest.
    ///
    /// - Throws: ``BackendCreationError``.
    public func makeBackend(for guest: GuestConfiguration) throws(BackendCreationError) -> any MemoryBackend {
        try make(guest)
    }
}

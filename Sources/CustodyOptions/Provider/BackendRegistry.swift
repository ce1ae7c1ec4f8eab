/// The back ends that a program has linked in.
///
/// Registration is explicit: a program names each provider once, where everybody can see it. None is a default.
public struct BackendRegistry: Sendable {
    /// The providers, in the order of registration.
    public private(set) var providers: [any BackendProvider] = []

    /// A registry of the given providers. A later one of the same name takes the place of an earlier one.
    public init(_ providers: [any BackendProvider] = []) {
        for provider in providers { register(provider) }
    }

    /// Adds a provider. One of the same name is replaced.
    public mutating func register(_ provider: any BackendProvider) {
        if let index = providers.firstIndex(where: { $0.name == provider.name }) {
            providers[index] = provider
        } else {
            providers.append(provider)
        }
    }

    /// The names, in the order of registration.
    public var names: [String] { providers.map(\.name) }

    /// The provider of the given name, or `nil`.
    public subscript(name: String) -> (any BackendProvider)? { providers.first { $0.name == name } }

    /// Looks at the machine with every provider. Nothing is made, and what is not available is no error.
    public func probe() -> [BackendProbe] { providers.flatMap { $0.probe() } }

    /// The provider of the given name.
    ///
    /// - Throws: ``ConfigurationError`` with the nearest name where there is none.
    public func provider(named name: String, at location: SourceLocation) throws(ConfigurationError)
        -> any BackendProvider
    {
        guard let provider = self[name] else {
            throw ConfigurationError(unknown: "back end", name, known: names, at: location)
        }
        return provider
    }
}

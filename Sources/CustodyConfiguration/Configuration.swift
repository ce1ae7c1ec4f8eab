public import Custody
public import CustodyOptions
public import CustodyPolicy

/// What a virtual machine monitor is told in a file: which back end, which guest, which rules.
public struct Configuration: Sendable {
    /// The name of the back end, and where it was given.
    public var backend: (name: String, location: SourceLocation)
    /// The guest.
    public var guest: GuestConfiguration
    /// The rules.
    public var policy: any Policy
    /// What bounds the guest's requests.
    public var limits: ControllerLimits
    /// The pool of shared memory that the guest is in, where it is in one.
    public var pool: PoolConfiguration?
    /// The scenario, where the file has or names one.
    public var scenario: ConfigurationNode?
    /// What was understood, section by section, in words: a line a key, or a rule, with what the file left out.
    public private(set) var account: [(section: String, lines: [String])]

    /// The back ends of which the file says something, by their names.
    private let choices: [String: BackendChoice]
    private var source: ConfigurationNode
    private let registry: BackendRegistry

    /// Reads a configuration.
    ///
    /// The names of back ends and their own sections are checked against the `registry`.
    ///
    /// - Throws: `ConfigurationError` for whatever is not accepted.
    public init(_ node: ConfigurationNode, registry: BackendRegistry) throws(ConfigurationError) {
        try self.init(node, registry: registry, mayNameFiles: true)
    }

    /// Reads a configuration that may name no files: one that whoever reads it has not chosen.
    ///
    /// - Throws: `ConfigurationError` for whatever is not accepted, and at a name of a file; nothing is opened.
    package init(withoutFiles node: ConfigurationNode, registry: BackendRegistry) throws(ConfigurationError) {
        try self.init(node, registry: registry, mayNameFiles: false)
    }

    private init(
        _ node: ConfigurationNode,
        registry: BackendRegistry,
        mayNameFiles: Bool
    ) throws(ConfigurationError) {
        let site = Site(key: "configuration", mayNameFiles: mayNameFiles)
        let file = try FileFormat.format(registry).read(node, site).value
        source = node
        self.registry = registry
        backend = file.backend
        guest = file.guest.value
        policy = file.policy?.value ?? AllowAll()
        limits = file.limits.value
        pool = file.pool?.value
        scenario = file.scenario
        account = file.account
        choices = Dictionary(file.backends?.value.map { ($0.name, $0) } ?? []) { $1 }
    }

    /// The same, with other sections `policy`, `limits` and `pool` in place of its own, by their keys.
    ///
    /// - Throws: `ConfigurationError`.
    package func replacing(_ rules: [String: ConfigurationNode]) throws(ConfigurationError) -> Configuration {
        guard !rules.isEmpty, case .mapping(let sections) = source.content else { return self }
        let kept = sections.filter { section in !rules.keys.contains { $0 == section.key.text } }
        let added = rules.sorted { $0.key < $1.key }.map {
            (key: ConfigurationNode(.scalar($0.key), at: $0.value.location), value: $0.value)
        }
        var copy = self
        copy.source = ConfigurationNode(.mapping(kept + added), at: source.location)
        let file = try FileFormat.format(registry).read(copy.source, Site(key: "configuration")).value
        copy.policy = file.policy?.value ?? AllowAll()
        copy.limits = file.limits.value
        copy.pool = file.pool?.value
        copy.account = file.account
        return copy
    }

    /// Makes the back end that the configuration names.
    ///
    /// The keys of `overrides` take precedence over those of the back end's section in the file.
    ///
    /// - Throws: `BackendCreationError`.
    public func makeBackend(
        overrides: ConfigurationSection? = nil
    ) throws(BackendCreationError) -> any MemoryBackend {
        let choice: BackendChoice
        do throws(ConfigurationError) { choice = try self.choice(overrides) } catch { throw .configuration(error) }
        let made = try choice.makeBackend(for: guest)
        do { try checkLimits(made.capabilities) } catch {
            made.shutDown()
            throw .configuration(error)
        }
        return made
    }

    /// The back end that is named, with what was read for it. A section is read once; what overrides it makes another one.
    private func choice(_ overrides: ConfigurationSection?) throws(ConfigurationError) -> BackendChoice {
        if let known = choices[backend.name], overrides == nil { return known }
        let section = overrides.map { backendOptions.overridden(by: $0) } ?? backendOptions
        return try registry.provider(named: backend.name, at: backend.location).read(section)
    }

    /// Holds the guest against what the back end that has been made for it says that it can do.
    private func checkLimits(_ capabilities: Capabilities) throws(ConfigurationError) {
        func place(_ key: String) -> SourceLocation {
            guard case .mapping(let sections) = source.content,
                let guest = sections.first(where: { $0.key.text == "guest" })?.value
            else { return source.location }
            guard case .mapping(let keys) = guest.content,
                let value = keys.first(where: { $0.key.text == key })?.value
            else { return guest.location }
            return value.location
        }
        guard guest.processors <= capabilities.maximumProcessors else {
            throw ConfigurationError(
                "a guest of the back end ‘\(backend.name)’ has at most \(capabilities.maximumProcessors) processors",
                at: place("processors")
            )
        }
        guard guest.layout.pageCount <= capabilities.maximumGuestBytes / PageSize.base.bytes else {
            let most = ByteCount(capabilities.maximumGuestBytes)
            throw ConfigurationError(
                "a guest of the back end ‘\(backend.name)’ has at most \(most) of memory",
                at: place("memory")
            )
        }
    }

    /// Makes the controller of a guest by the policy, the limits and the pool of the configuration.
    ///
    /// - Parameters:
    ///   - backend: The back end that was made for the guest.
    ///   - pools: Where the pool that the configuration names is found, or made by the first one that names it.
    ///   - observer: Whoever wants to see every step.
    /// - Throws: `ConfigurationError` where another configuration gave the pool another size.
    public func makeController(
        on backend: any MemoryBackend,
        pools: SharedPools = .process,
        observer: (any ControllerObserver)? = nil
    ) throws(ConfigurationError) -> MemoryController {
        MemoryController(
            backend: backend,
            policy: policy,
            limits: limits,
            pool: try pools.pool(for: self),
            observer: observer
        )
    }

    /// What the file says of the back end that it names; empty where it says nothing.
    package var backendOptions: ConfigurationSection {
        choices[backend.name]?.section ?? ConfigurationSection(at: backend.location)
    }

    /// What decides about requests, as text: the sections guest, policy, limits and pool, with what they include. With the
    /// name of a back end it is a configuration. A trace has it, so that it can be played again by the same rules.
    ///
    /// - Throws: `ConfigurationError` where a file that is included cannot be read any more.
    public func rulesText() throws(ConfigurationError) -> String {
        var section = try ConfigurationSection(source)
        var pairs: [(key: ConfigurationNode, value: ConfigurationNode)] = []
        for key in ["guest", "policy", "limits", "pool"] {
            guard let node = section.node(key) else { continue }
            let value = key == "guest" ? node : try ConfigurationFile.included(node)
            pairs.append((ConfigurationNode(.scalar(key), at: node.location), value))
        }
        return ConfigurationNode(.mapping(pairs), at: source.location).flowText
    }
}

public import Custody
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
    /// The scenario, where the file has or names one.
    public var scenario: ConfigurationNode?

    private var options: [String: ConfigurationSection]

    /// Reads a configuration.
    ///
    /// The names of back ends and their own sections are checked against the `registry`.
    ///
    /// - Throws: `ConfigurationError` for whatever is not accepted.
    public init(_ node: ConfigurationNode, registry: BackendRegistry) throws(ConfigurationError) {
        var root = try ConfigurationSection(node)
        guard let name = try root.string("backend"), let location = root.node("backend")?.location else {
            throw root.missing("backend")
        }
        _ = try registry.provider(named: name, at: location)
        backend = (name, location)
        guard let guestSection = try root.section("guest") else { throw root.missing("guest") }
        guest = try Configuration.readGuest(guestSection)
        policy = try PolicyReader.read(try root.section("policy"))
        limits = try Configuration.readLimits(try root.section("limits"))
        scenario = root.node("scenario")
        options = [:]
        if var backends = try root.section("backends") {
            for provider in registry.providers {
                guard let section = try backends.section(provider.name) else { continue }
                try provider.check(section)
                options[provider.name] = section
            }
            try backends.finish()
        }
        try root.finish()
    }

    /// Makes the back end that the configuration names.
    ///
    /// The keys of `overrides` take precedence over those of the back end's section in the file.
    ///
    /// - Throws: `BackendCreationError`.
    public func makeBackend(
        from registry: BackendRegistry,
        overrides: ConfigurationSection? = nil
    ) throws(BackendCreationError) -> any MemoryBackend {
        let provider: any BackendProvider
        do {
            provider = try registry.provider(named: backend.name, at: backend.location)
        } catch {
            throw .configuration(error)
        }
        var section = backendOptions
        if let overrides { section = section.overridden(by: overrides) }
        return try provider.makeBackend(for: guest, options: section)
    }

    /// What the file says of the back end that it names; empty where it says nothing.
    package var backendOptions: ConfigurationSection {
        options[backend.name] ?? ConfigurationSection(at: backend.location)
    }

    private static func readGuest(_ given: ConfigurationSection) throws(ConfigurationError) -> GuestConfiguration {
        var section = given
        let processors = try section.integer("processors", in: 1...1024) ?? 1
        let granularity =
            try section.choice("granularity", of: ["4KiB": PageSize.base, "2MiB": .large, "1GiB": .huge]) ?? .base
        guard let items = try section.list("memory") else { throw section.missing("memory") }
        var regions: [PageRange] = []
        for item in items {
            var region = try ConfigurationSection(item)
            regions.append(try region.range())
            try region.finish()
        }
        try section.finish()
        do {
            let layout = try GuestMemoryLayout(regions: regions, granularity: granularity)
            return GuestConfiguration(layout: layout, processors: processors)
        } catch {
            throw ConfigurationError("\(error)", at: given.location)
        }
    }

    private static func readLimits(_ given: ConfigurationSection?) throws(ConfigurationError) -> ControllerLimits {
        var limits = ControllerLimits()
        guard var section = given else { return limits }
        limits.pendingHandovers = try section.integer("pending", in: 0...65536) ?? limits.pendingHandovers
        limits.runsPerGuestRequest =
            try section.integer("runs-per-request", in: 1...65536) ?? limits.runsPerGuestRequest
        if let size = try section.byteCount("bytes-per-request") {
            limits.pagesPerGuestRequest = size.rawValue / PageSize.base.bytes
        }
        limits.guestDeadline = try section.duration("guest-deadline")
        try section.finish()
        return limits
    }
}

import Custody
import CustodyOptions
import CustodyPolicy

/// What a configuration file may be.
struct FileFormat: Sendable {
    let backend: (name: String, location: SourceLocation)
    let guest: Reading<GuestConfiguration>
    let policy: Reading<any Policy>?
    let limits: Reading<ControllerLimits>
    let pool: Reading<PoolConfiguration>?
    let scenario: ConfigurationNode?
    let backends: Reading<[BackendChoice]>?

    /// What was understood, section by section.
    var account: [(section: String, lines: [String])] {
        [
            ("backend", [backend.name]), ("guest", guest.parts), ("policy", policy?.parts ?? []),
            ("limits", limits.parts), ("pool", pool?.parts ?? []), ("backends", backends?.parts ?? []),
        ]
    }

    /// The format, where these back ends are linked in. What a scenario may be is for somebody else to say.
    static func format(_ registry: BackendRegistry, scenario: JSONValue = ["type": "object"]) -> Format<FileFormat> {
        .mapping(
            backendKey(registry),
            guestKey,
            policyKey,
            limitsKey,
            poolKey,
            .optional(
                "scenario",
                Format<ConfigurationNode>(["anyOf": [["type": "string", "minLength": 1], scenario]]) { (node, _) in
                    Reading(node, "")
                },
                "A scenario, or the name of a file with one, for `custody run`."
            ),
            backendsKey(registry)
        ) { (backend, guest, policy, limits, pool, scenario, backends) in
            FileFormat(
                backend: backend,
                guest: guest,
                policy: policy,
                limits: limits,
                pool: pool,
                scenario: scenario,
                backends: backends
            )
        }
    }

    private static func backendKey(_ registry: BackendRegistry) -> Key<(name: String, location: SourceLocation)> {
        .required(
            "backend",
            Format<String>.text
                .annotated(["enum": .array(registry.names.map { .string($0) })])
                .map { (name, location) throws(ConfigurationError) in
                    _ = try registry.provider(named: name, at: location)
                    return (name: name, location: location)
                },
            "The back end that runs the guest: one that the program has linked in."
        )
    }

    private static let guestKey = Key.required("guest", GuestFormat.format.reading, "The guest.")

    private static let policyKey = Key<Reading<any Policy>?>.optional(
        "policy",
        Format.included(PolicyFormat.reference).reading,
        "The rules: every one must agree to a request. Or the name of a file with them."
    )

    private static let limitsKey = Key<Reading<ControllerLimits>>.defaulting(
        "limits",
        Format<ControllerLimits>.included(LimitsFormat.format).reading,
        to: nil,
        "What bounds the guest's requests. Or the name of a file with it."
    )

    private static let poolKey = Key<Reading<PoolConfiguration>?>.optional(
        "pool",
        Format.included(PoolConfiguration.format).reading,
        "The bound on shared memory that the guest has together with others. Or the name of a file with it."
    )

    /// The options of the back ends, each as its provider says.
    private static func backendsKey(
        _ registry: BackendRegistry
    ) -> Key<Reading<[BackendChoice]>?> {
        .optional(
            "backends",
            Format<[BackendChoice]>
                .table(
                    registry.providers.map { provider in
                        let choice = provider.choice
                        let entry = KeyEntry(
                            provider.name,
                            choice.schema,
                            "Options of a back end: \(provider.summary)."
                        )
                        return (entry, choice)
                    }
                )
                .reading,
            "The options of each back end, by its name."
        )
    }
}

import Custody
import CustodyPolicy

/// What a configuration file may be, before anybody knows which back ends there are.
struct FileFormat: Sendable {
    let backend: (name: String, location: SourceLocation)
    let guest: Reading<GuestConfiguration>
    let policy: Reading<any Policy>?
    let limits: Reading<ControllerLimits>
    let pool: Reading<PoolConfiguration>?
    let scenario: ConfigurationNode?
    let backends: ConfigurationNode?

    /// What was understood, section by section.
    var account: [(section: String, lines: [String])] {
        [
            ("backend", [backend.name]), ("guest", guest.parts), ("policy", policy?.parts ?? []),
            ("limits", limits.parts), ("pool", pool?.parts ?? []),
        ]
    }

    static let format = Format<FileFormat>.mapping(
        backendKey,
        guestKey,
        policyKey,
        limitsKey,
        poolKey,
        scenarioKey,
        backendsKey
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

    private static let backendKey = Key.required(
        "backend",
        Format<String>.text.map { (name, location) in (name: name, location: location) },
        "The back end that runs the guest: one that the program has linked in."
    )

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

    private static let scenarioKey = Key<ConfigurationNode?>.optional(
        "scenario",
        .unread(["type": ["string", "object"]]),
        "A scenario, or the name of a file with one, for `custody run`."
    )

    private static let backendsKey = Key<ConfigurationNode?>.optional(
        "backends",
        .unread(["type": ["object", "null"], "additionalProperties": ["type": ["object", "null"]]]),
        "The options of each back end, by its name; they are the back end's own."
    )
}

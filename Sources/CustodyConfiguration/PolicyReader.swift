import Custody
import CustodyPolicy

/// Reads the section `policy`: every rule in it must agree to a request.
enum PolicyReader {
    static func read(_ given: ConfigurationSection?) throws(ConfigurationError) -> any Policy {
        guard var section = given else { return AllowAll() }
        var policies: [any Policy] = []
        for item in try section.list("protect") ?? [] {
            var rule = try ConfigurationSection(item)
            let range = try rule.range()
            let never = try rule.choice(
                "never",
                of: ["shared": Ownership.shared, "private": .private, "host": .host]
            )
            guard let never else { throw rule.missing("never") }
            try rule.finish()
            policies.append(ProtectedRange(range, neverBecoming: [never]))
        }
        if let budget = try section.byteCount("shared-budget") {
            policies.append(SharedBudget(pages: budget.rawValue / PageSize.base.bytes))
        }
        try section.finish()
        return AllOf(policies)
    }
}

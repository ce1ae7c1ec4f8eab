import Custody
import CustodyOptions
import CustodyPolicy

/// Rules about who asks for what.
extension Rule {
    static let requesters: [Rule] = [
        Rule(
            "initiators",
            "Who may ask for an ownership; everybody for one that is not listed.",
            Format<Initiators>.mapping(
                .optional("shared", .set(of: .word()), "Who may ask for shared pages."),
                .optional("private", .set(of: .word()), "Who may ask for private pages."),
                .optional("host", .set(of: .word()), "Who may ask for pages of the host's.")
            ) { (shared: Set<RequesterKind>?, `private`: Set<RequesterKind>?, host: Set<RequesterKind>?) in
                var allowed: [Ownership: Set<RequesterKind>] = [:]
                allowed[.shared] = shared
                allowed[.private] = `private`
                allowed[.host] = host
                return Initiators(allowed)
            }
        ),
        Rule(
            "lock-down",
            "Nothing becomes shared any more once the monitor has set a mark.",
            Format<LockDown>.mapping(
                .required(
                    "after",
                    Format<String>.name.map { (mark, location) throws(ConfigurationError) in
                        // A rule's own marks begin with its name.
                        guard !all.contains(where: { $0.name == mark }) else {
                            throw ConfigurationError(
                                "a mark has not the name of a rule, \(location.quoting(mark, or: "as this has"))",
                                at: location
                            )
                        }
                        return mark
                    },
                    "The name of the mark."
                )
            ) { (mark: String) in LockDown(after: mark) }
        ),
        Rule("deny", "Denies everything, for this reason.", Format<String>.text.map { (text, _) in Deny(text) }),
    ]
}

import Custody
package import CustodyOptions
package import CustodyPolicy

/// A rule as a file writes it: its key, what its value may be, and what policy that is.
///
/// The table of ``all`` is the one place that says which rules there are: files are read by it, and the schema and its
/// documentation are made of it.
struct Rule: Sendable {
    /// The key, which is also the rule's name in its decisions.
    let name: String
    /// What it does, in a sentence.
    let documentation: String
    /// Its value.
    let format: Format<any Policy>

    init<Value: Policy>(_ name: String, _ documentation: String, _ format: Format<Value>) {
        self.name = name
        self.documentation = documentation
        self.format = format.map { (policy, _) in policy }
    }

    /// Every rule.
    static let all: [Rule] = memory + time + requesters + composition
}

/// What a section `policy` may be: any rules, which must all agree.
package enum PolicyFormat {
    /// The name under which the schema defines it.
    static let name = "policy"

    /// The rules of a section.
    package static let format: Format<any Policy> = Format<[any Policy]>
        .table(
            Rule.all.map {
                (KeyEntry($0.name, $0.format.schema, $0.documentation), $0.format)
            }
        )
        .map { (policies, _) in AllOf(policies) }

    /// The same inside of a rule, or of a file.
    package static let reference: Format<any Policy> = Format<any Policy>.reference(name) { format }

    /// What a schema that refers to policies has to define.
    package static var definitions: JSONValue { .object([name: format.schema]) }
}

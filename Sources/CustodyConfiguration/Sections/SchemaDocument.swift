import Custody
package import CustodyOptions

/// A JSON Schema (draft 2020-12) of a kind of file, for editors and for programs that write such files.
package struct SchemaDocument: Sendable {
    /// The document.
    package let value: JSONValue

    /// The schema of files that are read as `format`.
    package init<Value>(of format: Format<Value>, title: String, _ description: String) {
        value = format.schema.merging([
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$defs": PolicyFormat.definitions,
            "title": .string(title),
            "description": .string(description),
        ])
    }

    /// The schema of configuration files, for a program with these back ends and such scenarios.
    package static func configuration<Scenario>(
        _ registry: BackendRegistry,
        _ scenario: Format<Scenario>
    ) -> SchemaDocument {
        SchemaDocument(
            of: FileFormat.format(registry, scenario: scenario.schema),
            title: "A configuration of Custody",
            "Which back end, which guest, which rules."
        )
    }

    /// The schema of files that a key `policy` names.
    package static var policy: SchemaDocument {
        SchemaDocument(
            of: PolicyFormat.format,
            title: "A policy of Custody",
            "The rules about who may have which page: every one must agree to a request."
        )
    }
}

import Custody
package import CustodyOptions

extension Format {
    /// A value, or the name of the file that has it, relative to the file that names it.
    package static func included(_ format: Format) -> Format {
        let schema: JSONValue = [
            "anyOf": [
                format.schema,
                ["type": "string", "minLength": 1, "description": "The name of a file, relative to this one."],
            ]
        ]
        return Format(schema) { (node, site) throws(ConfigurationError) in
            guard site.mayNameFiles else {
                if let name = node.text {
                    throw ConfigurationError(
                        "\(node.location.quoting(name, or: "a text")) names a file, and what stands here may name none",
                        at: node.location
                    )
                }
                return try format.read(node, site)
            }
            // What is in a file of its own is read as the same, whoever names it.
            return try format.read(ConfigurationFile.included(node), Site(key: site.key))
        }
    }
}

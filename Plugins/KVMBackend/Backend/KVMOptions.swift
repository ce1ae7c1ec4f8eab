import Custody

/// What a configuration says of this back end.
struct KVMOptions: Sendable, Hashable {
    /// The key `mode`: how ownership is made true.
    var mode = KVMMode.dual
    /// The key `processors`: the number of virtual processors, or that of the guest's own section.
    var processors: Int?

    /// Reads a section to its end.
    init(_ section: ConfigurationSection) throws(ConfigurationError) {
        var section = section
        mode =
            try section.choice(
                "mode",
                of: ["dual": KVMMode.dual, "revoked": .revoked, "attributes": .attributes, "in-place": .inPlace]
            ) ?? .dual
        processors = try section.integer("processors", in: 1...256)
        try section.finish()
    }
}

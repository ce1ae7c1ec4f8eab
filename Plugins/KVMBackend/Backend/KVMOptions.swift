import Custody

/// What a configuration says of this back end.
struct KVMOptions: Sendable, Hashable {
    /// The key `mode`: how ownership is made true; `nil` for `auto`, the first mode that this machine has.
    var mode: KVMMode?
    /// The key `processors`: the number of virtual processors, or that of the guest's own section.
    var processors: Int?

    /// Reads a section to its end.
    init(_ section: ConfigurationSection) throws(ConfigurationError) {
        var section = section
        let modes = KVMMode.allCases.map { (key: $0.rawValue, value: KVMMode?.some($0)) }
        mode = try section.choice("mode", among: modes + [(key: "auto", value: nil)]) ?? KVMMode.dual
        processors = try section.integer("processors", in: 1...256)
        try section.finish()
    }
}

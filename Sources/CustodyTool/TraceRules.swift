import Custody
import CustodyConfiguration
import CustodyOptions
import CustodyTrace

/// The rules in the header of a trace.
enum TraceRules {
    /// What they are called in messages: a place in them is none of the file.
    static let name = "configuration in the header"

    /// The rules as the configuration of a back end; `nil` where the header has none.
    ///
    /// - Throws: `ConfigurationError` where they are wrong, name a file, or name a back end: that is not a trace's to say.
    static func configuration(
        in header: TraceHeader,
        of file: String,
        for backend: String,
        at place: SourceLocation,
        _ registry: BackendRegistry
    ) throws(ConfigurationError) -> Configuration? {
        guard let text = header.configuration else { return nil }
        let rules = try YAMLReader.read(text, file: "\(name) of \(file)")
        guard case .mapping(let sections) = rules.content else {
            throw ConfigurationError("the rules of a trace are sections", at: rules.location)
        }
        let key = ConfigurationNode(.scalar("backend"), at: place)
        if let other = sections.first(where: { $0.key.text == key.text }) {
            throw ConfigurationError("the rules of a trace name no back end", at: other.key.location)
        }
        return try Configuration(
            withoutFiles: ConfigurationNode(
                .mapping([(key, ConfigurationNode(.scalar(backend), at: place))] + sections),
                at: rules.location
            ),
            registry: registry
        )
    }

    /// What the rules say of the guest's memory otherwise than the header that they stand in; `nil` for nothing.
    static func contradiction(_ configuration: Configuration, _ header: TraceHeader) -> String? {
        guard configuration.guest.layout != header.layout else { return nil }
        func text(_ layout: GuestMemoryLayout) -> String {
            let first = layout.regions.prefix(4).map { "\($0)" }.joined(separator: ", ")
            let more = layout.regions.count > 4 ? " and \(layout.regions.count - 4) more" : ""
            return "\(first)\(more) in units of \(ByteCount(layout.granularity.bytes))"
        }
        return "by the configuration in the header, the guest's memory is \(text(configuration.guest.layout)); by the "
            + "header, it is \(text(header.layout))"
    }
}

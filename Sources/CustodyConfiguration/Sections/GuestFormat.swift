import Custody
import CustodyOptions

/// What a section `guest` may be.
enum GuestFormat {
    static let format = Format<GuestConfiguration>.mapping(
        .defaulting("processors", .integer(in: 1...1024), to: "1", "The number of virtual processors."),
        .defaulting("granularity", .pageSize, to: "4KiB", "The chunk in which ownership changes."),
        .required(
            "memory",
            memory,
            "The regions of RAM: they do not overlap."
        ),
        .location
    ) { (processors, granularity, regions, location) throws(ConfigurationError) in
        do {
            let layout = try GuestMemoryLayout(regions: regions, granularity: granularity)
            return GuestConfiguration(layout: layout, processors: processors)
        } catch {
            throw ConfigurationError("\(error)", at: location)
        }
    }

    /// The layout itself says that there is none without a region.
    private static let memory = Format<[PageRange]>.list(of: .range).annotated(["minItems": 1])
}

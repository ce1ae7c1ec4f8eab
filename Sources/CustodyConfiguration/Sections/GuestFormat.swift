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
    ) { (processors, granularity, memory, location) throws(ConfigurationError) in
        let regions = memory.map(\.range)
        do throws(LayoutError) {
            let layout = try GuestMemoryLayout(regions: regions, granularity: granularity)
            return GuestConfiguration(layout: layout, processors: processors)
        } catch {
            throw ConfigurationError("\(error)", at: error.index(in: regions).map { memory[$0].place } ?? location)
        }
    }

    /// A region, and where it stands.
    private typealias Region = (range: PageRange, place: SourceLocation)

    /// The layout itself says that there is none without a region.
    private static let memory = Format<[Region]>.list(of: Format<PageRange>.range.map { ($0, $1) })
        .annotated(["minItems": 1])
}

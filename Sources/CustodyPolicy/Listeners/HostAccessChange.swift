public import Custody

/// A maximal run of pages that the host may touch from now on, or may not any more.
public struct HostAccessChange: Sendable, Hashable {
    /// The pages.
    public let range: PageRange
    /// Whether the host gains them; else it loses them.
    public let isGranted: Bool
    /// The ownership that they are to be in.
    public let ownership: Ownership

    /// A change of what the host may touch.
    public init(range: PageRange, isGranted: Bool, ownership: Ownership) {
        self.range = range
        self.isGranted = isGranted
        self.ownership = ownership
    }
}

extension HostAccessChange: CustomStringConvertible {
    /// Gained or lost, the pages, and the ownership to be.
    public var description: String { "host \(isGranted ? "gains" : "loses") \(range) (\(ownership))" }
}

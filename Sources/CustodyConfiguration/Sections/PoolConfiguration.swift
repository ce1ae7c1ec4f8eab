import Custody
public import CustodyOptions

/// The pool of shared memory that a guest is in, with others of its process.
public struct PoolConfiguration: Sendable, Hashable {
    /// The name: guests whose configurations name the same pool are in one.
    public let name: String
    /// The most base pages that all of them share at a time.
    public let pages: UInt64
    /// Where it is given.
    public let location: SourceLocation

    /// What a section `pool` may be.
    package static let format = Format<PoolConfiguration>.mapping(
        .required("name", .name, "The pool's name: guests of one process that name the same pool are in one."),
        .required("shared", .pages(), "The most memory that all of them share at a time: a multiple of 4 KiB."),
        .location
    ) { (name, pages, location) in PoolConfiguration(name: name, pages: pages, location: location) }
}

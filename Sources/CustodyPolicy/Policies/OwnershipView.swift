public import Custody

/// What a policy may see of the guest's memory.
public struct OwnershipView: Sendable {
    private let controller: MemoryController

    init(_ controller: MemoryController) { self.controller = controller }

    /// Where the guest has RAM.
    public var layout: GuestMemoryLayout { controller.layout }

    /// What the back end can do.
    public var capabilities: Capabilities { controller.capabilities }

    /// The ownership of a page, or `nil` where there is no RAM.
    public func ownership(of page: PageNumber) -> Ownership? { controller.ownership(of: page) }

    /// The number of pages of `range` in the given ownership.
    ///
    /// - Complexity: O(log *n* + *k*) for *k* runs.
    public func pageCount(of ownership: Ownership, in range: PageRange) -> UInt64 {
        controller.runs(in: range).reduce(0) { $1.state == ownership ? $0 + $1.range.count : $0 }
    }

    /// Who of the host holds pages of `range`.
    public func holders(of range: PageRange) -> [Blocker] { controller.blockers(of: range) }
}

public import Custody

/// A request to change the ownership of pages, in terms that have been checked.
public struct ConversionRequest: Sendable, Hashable {
    /// What to do with pages that the host still holds.
    public enum WhenHeld: Sendable, Hashable {
        /// Begin the hand-over; it completes when they are released, or is given up after `deadline`.
        case handOver(deadline: Duration?)
        /// Change nothing and say who holds them.
        case report
    }

    /// What an answer may be about.
    public enum Extent: Sendable, Hashable {
        /// All pages or none.
        case all
        /// As many runs of pages from the start as can be had; one request covers at most so many runs and pages.
        case prefix(maximumRuns: Int, maximumPages: UInt64 = .max)
    }

    /// What the requester needs of the bytes.
    public enum Contents: String, Sendable, Hashable, CaseIterable, Codable {
        /// Anything will do.
        case any
        /// The receiver must read what was there.
        case preserved
        /// The receiver must read zeroes.
        case zeroed
    }

    /// The pages.
    public var range: PageRange
    /// The ownership that they are to be in.
    public var target: Ownership
    /// Who asks.
    public var requester: Requester
    /// What to do with pages that the host still holds.
    public var whenHeld: WhenHeld
    /// What an answer may be about.
    public var extent: Extent
    /// What is needed of the bytes.
    public var contents: Contents

    /// A request; by default for all pages, as a hand-over without a deadline, whatever happens to the bytes.
    public init(
        _ range: PageRange,
        to target: Ownership,
        by requester: Requester,
        whenHeld: WhenHeld = .handOver(deadline: nil),
        extent: Extent = .all,
        contents: Contents = .any
    ) {
        self.range = range
        self.target = target
        self.requester = requester
        self.whenHeld = whenHeld
        self.extent = extent
        self.contents = contents
    }
}

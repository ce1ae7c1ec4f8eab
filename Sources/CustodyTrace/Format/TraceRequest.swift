public import Custody
public import CustodyPolicy

/// A request as a trace has it.
public struct TraceRequest: Sendable, Hashable, Codable {
    /// How much one request may cover, where a part of it is enough.
    public struct Prefix: Sendable, Hashable, Codable {
        /// The largest number of runs.
        public let runs: Int
        /// The largest number of base pages.
        public let pages: UInt64
    }

    /// What to do with pages that the host still holds.
    public enum WhenHeld: String, Sendable, Hashable, CaseIterable, Codable {
        /// Begin the hand-over.
        case handOver
        /// Say who holds them.
        case report
    }

    /// The pages.
    public let range: PageRange
    /// The ownership that they are to be in.
    public let target: Ownership
    /// Who asks.
    public let requester: Requester
    /// What to do with pages that the host still holds.
    public let whenHeld: WhenHeld
    /// The time after which a hand-over is given up, in nanoseconds; `nil` for never.
    public let deadline: UInt64?
    /// The bounds of a part that is enough; `nil` where it must be all pages or none.
    public let prefix: Prefix?
    /// What is needed of the bytes.
    public let contents: ConversionRequest.Contents

    /// The request as a value that can be written.
    public init(_ request: ConversionRequest) {
        range = request.range
        target = request.target
        requester = request.requester
        contents = request.contents
        switch request.whenHeld {
        case .handOver(let deadline): (whenHeld, self.deadline) = (.handOver, deadline.map(\.traceNanoseconds))
        case .report: (whenHeld, deadline) = (.report, nil)
        }
        switch request.extent {
        case .all: prefix = nil
        case .prefix(let runs, let pages): prefix = Prefix(runs: runs, pages: pages)
        }
    }

    /// The request for a controller.
    public var request: ConversionRequest {
        ConversionRequest(
            range,
            to: target,
            by: requester,
            whenHeld: whenHeld == .report
                ? .report : .handOver(deadline: deadline.map(Duration.init(traceNanoseconds:))),
            extent: prefix.map { .prefix(maximumRuns: $0.runs, maximumPages: $0.pages) } ?? .all,
            contents: contents
        )
    }
}

extension TraceRequest: CustomStringConvertible {
    /// Who asks for what.
    public var description: String { "\(requester): \(range) to \(target)" }
}

extension Duration {
    /// The time span as traces have it: whole nanoseconds, at least none.
    var traceNanoseconds: UInt64 { Timestamp.zero.advanced(by: self).rawValue }

    /// The time span of so many nanoseconds.
    init(traceNanoseconds: UInt64) { self = Timestamp(rawValue: traceNanoseconds).since(.zero) }
}

public import Custody

/// How a pending hand-over ended, as a trace has it.
public enum TraceResult: Sendable, Hashable, Codable {
    /// The pages have changed hands.
    case completed(contents: ContentsEffect)
    /// It was withdrawn.
    case cancelled
    /// Its deadline passed.
    case expired
    /// It could not be carried out.
    case failed(error: TraceFailure)
    /// A listener refused it.
    case vetoed(by: String, reason: String)

    private enum CodingKeys: String, CodingKey, CaseIterable {
        case completed, cancelled, expired, failed, vetoed
    }

    /// The result as a value that can be written.
    public init(_ result: TicketResult) {
        self =
            switch result {
            case .completed(let contents): .completed(contents: contents)
            case .cancelled: .cancelled
            case .expired: .expired
            case .failed(let error): .failed(error: TraceFailure(error))
            case .vetoed(let listener, let reason): .vetoed(by: listener, reason: reason)
            }
    }

    /// The kind of end, in one word.
    public var word: String {
        switch self {
        case .completed: "completed"
        case .cancelled: "cancelled"
        case .expired: "expired"
        case .failed: "failed"
        case .vetoed: "vetoed"
        }
    }
}

extension TraceResult: CustomStringConvertible {
    /// The end in a few words.
    public var description: String {
        switch self {
        case .completed(let contents): "completed, contents \(contents.rawValue)"
        case .cancelled, .expired: word
        case .failed(let error): "failed: \(error)"
        case .vetoed(let listener, let reason): "vetoed by \(listener): \(reason)"
        }
    }
}

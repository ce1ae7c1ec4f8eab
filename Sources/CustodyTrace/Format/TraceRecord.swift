public import Custody

/// One line of a trace after its header: what happened, when, and on which thread.
public struct TraceRecord: Sendable, Hashable, Codable {
    /// The number of the line after its header, from 1: a line that is missing leaves a gap.
    public let number: UInt64
    /// The step of the controller, as in `ControllerEvent`: a line may stand after one of a later step. `nil` for the
    /// notes of the trace's writer, and for nothing else.
    public let sequence: UInt64?
    /// When, in nanoseconds of the back end's time.
    public let time: Timestamp
    /// The thread on which it happened: a number that means nothing but "the same one", and 0 where it is not known.
    public let thread: Int
    /// What happened.
    public let event: TraceEvent

    private enum CodingKeys: String, CodingKey {
        case number = "n"
        case sequence = "seq"
        case time = "t"
        case thread
    }

    /// A line.
    public init(number: UInt64, sequence: UInt64?, time: Timestamp, thread: Int, _ event: TraceEvent) {
        self.number = number
        self.sequence = sequence
        self.time = time
        self.thread = thread
        self.event = event
    }

    /// Writes the number, the step, the time, the thread and one more key: the event's name, with what there is to say of it.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(number, forKey: .number)
        try container.encodeIfPresent(sequence, forKey: .sequence)
        try container.encode(time, forKey: .time)
        try container.encode(thread, forKey: .thread)
        try event.encode(to: encoder)
    }

    /// Reads a line.
    ///
    /// - Throws: `DecodingError` unless there is exactly one event of a name that is known, with its step.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let events = try decoder.container(keyedBy: TraceEvent.CodingKeys.self).allKeys
        number = try container.decode(UInt64.self, forKey: .number)
        sequence = try container.decodeIfPresent(UInt64.self, forKey: .sequence)
        time = try container.decode(Timestamp.self, forKey: .time)
        thread = try container.decode(Int.self, forKey: .thread)
        guard events.count == 1 else {
            let names = events.map { "‘\($0.rawValue)’" }.joined(separator: " and ")
            let text = "a line has one event, and this has \(events.isEmpty ? "none" : names)"
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: text))
        }
        event = try TraceEvent(from: decoder)
        guard (sequence == nil) == event.isNote else {
            let text = "every event has the number of its step, and nothing else has"
            throw DecodingError.dataCorruptedError(forKey: .sequence, in: container, debugDescription: text)
        }
    }
}

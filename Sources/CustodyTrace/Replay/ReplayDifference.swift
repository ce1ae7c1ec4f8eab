/// The first place at which a replay is not as its trace.
public struct ReplayDifference: Sendable, Equatable {
    /// The file of the line.
    public let file: String
    /// The line in it, from 1.
    public let line: Int
    /// What the trace says.
    public let expected: String
    /// What happened instead.
    public let actual: String
}

extension ReplayDifference: CustomStringConvertible {
    /// The place, and a line for each side.
    public var description: String {
        "\(file):\(line): the replay is not as the trace\n  trace:  \(expected)\n  replay: \(actual)"
    }
}

/// What reads bytes from anybody, to be tried with any bytes.
package enum FuzzTarget: String, CaseIterable, Sendable {
    /// The reader of YAML, and that of configurations.
    case configuration
    /// The reader of scenarios.
    case scenario
    /// The reader of snapshots, a controller that goes on from one, and their drawings.
    case snapshot
    /// Every reader of traces: lines, verifier, statistics, drawings, replay with the rules of the header.
    case trace
    /// The host's end of the channel to a guest, beside the codec that guests are built with.
    case channel
    /// The map of runs, beside an array.
    case runMap
    /// The tree of page ranges, beside a list.
    case rangeTree

    /// A promise that did not hold.
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    /// Has the bytes read. Whatever they are, it returns.
    ///
    /// - Throws: ``Failure`` where what came of them is not right.
    package func run(_ bytes: [UInt8]) throws(Failure) {
        switch self {
        case .configuration: try ConfigurationTarget.run(bytes)
        case .scenario: ScenarioTarget.run(bytes)
        case .snapshot: try SnapshotTarget.run(bytes)
        case .trace: try TraceTarget.run(bytes)
        case .channel: try ChannelTarget.run(bytes)
        case .runMap: try RunMapTarget.run(bytes)
        case .rangeTree: try RangeTreeTarget.run(bytes)
        }
    }

    static func require(_ isSo: Bool, _ why: @autoclosure () -> String) throws(Failure) {
        if !isSo { throw Failure(description: why()) }
    }
}

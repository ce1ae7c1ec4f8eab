import Custody
import CustodyOptions

/// What the steps of a scenario come to together: a small file must not be the work of hours.
struct ScenarioWork {
    /// The most bytes that all steps together store and load.
    static let maximumBytes = 64 << 20

    private var time = Duration.zero
    private var bytes = 0

    /// Adds a step to those before it.
    ///
    /// - Throws: `ConfigurationError` at the step, where they wait for longer than a back end has time, or touch too much.
    mutating func add(_ step: ScenarioStep) throws(ConfigurationError) {
        time += step.action.time
        bytes += step.action.byteCount
        guard time <= Format<Duration>.longest else {
            throw ConfigurationError(
                "the steps up to here wait for more than \(Format<Duration>.longest.text): a hundred years",
                at: step.location
            )
        }
        guard bytes <= ScenarioWork.maximumBytes else {
            throw ConfigurationError(
                "the steps up to here store and load more than \(ByteCount(UInt64(ScenarioWork.maximumBytes)))",
                at: step.location
            )
        }
    }
}

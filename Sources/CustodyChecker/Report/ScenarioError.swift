/// Why a counterexample cannot be written as a scenario.
public enum ScenarioError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Nothing that a scenario can ask about shows that the property is broken.
    case noObservableEnd(String)
    /// Steps do not lead to the beginning of the configuration.
    case noWayToBeginning(String)

    /// What is missing.
    public var description: String {
        switch self {
        case .noObservableEnd(let reason): "its end cannot be observed in a scenario: \(reason)"
        case .noWayToBeginning(let reason): "its beginning cannot be set up by steps: \(reason)"
        }
    }
}

import CustodyProtocols

/// Somebody at work in the simulated kernel between two calls: a device that holds a page, a fault that was overtaken.
struct Process: Sendable {
    /// Its name, as a scenario gave it.
    let name: String
    /// What it does.
    let operation: Operation
    /// How far it has come.
    var actor: Actor
    /// Whether it is left where it is until somebody tells it to go on.
    var isStopped: Bool
}

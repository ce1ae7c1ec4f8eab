/// A change of ownership from the moment it is planned to its end, with what the back end needs for it.
public struct PlannedChange<Token: Sendable>: Sendable {
    /// The number of the change; no other change of the back end has had it, or will. A hand-over is known by it.
    public let id: BackendHandover
    /// The change.
    public let change: OwnershipChange
    /// What the back end needs for it.
    public var token: Token
}

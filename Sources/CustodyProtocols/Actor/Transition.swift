/// What one call of ``Machine/step(_:_:id:in:)`` did.
@frozen
public struct Transition: Hashable, Sendable {
    /// The step that was tried.
    public var step: Step
    /// What it waits for; `.none` if it was carried out.
    public var wait: Wait
    /// What happened. Of a step that waits, only facts about the attempt (such as sleeping where it is forbidden).
    public var events: Events

    /// A transition.
    @inlinable
    public init(step: Step, wait: Wait = .none, events: Events = []) {
        self.step = step
        self.wait = wait
        self.events = events
    }

    /// Whether the step waits and has changed nothing.
    @inlinable
    public var isBlocked: Bool { wait != .none }
}

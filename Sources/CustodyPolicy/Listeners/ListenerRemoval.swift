/// What has become of a listener's calls when it has been removed.
public enum ListenerRemoval: Sendable, Hashable {
    /// No call of it is under way, and none comes: it may be torn down.
    case complete
    /// No call of it begins any more, and the ones under way have still to return: it was removed by a policy, a listener
    /// or an observer of the same controller, which must not wait for them. One of them may be the caller.
    case pending
}

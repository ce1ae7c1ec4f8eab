public import Custody

/// What the rules of a controller remember: points in time, by names of their own.
///
/// A rule's names begin with the rule's name. A host can set a mark as well, for example that the guest is launched; a
/// rule that asks for it needs no other state.
public struct PolicyMemory: Sendable, Hashable, Codable {
    /// The marks by name.
    public private(set) var marks: [String: Timestamp] = [:]

    /// Nothing.
    public init() {}

    /// The mark of that name, or `nil` where there is none.
    public subscript(name: String) -> Timestamp? {
        get { marks[name] }
        set { marks[name] = newValue }
    }
}

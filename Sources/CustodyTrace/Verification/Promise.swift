/// What a controller promises, by its number: what an ``Oracle`` holds a trace or a play against.
///
/// docs/promises.md has each with its rules.
public enum Promise: Int, Sendable, Hashable, CaseIterable {
    /// No page is accessible to a party that its ownership denies.
    case access = 1
    /// A failed or cancelled change leaves every page as it was, and a change is as it was told.
    case atomicity
    /// A range that is entirely in the ownership asked for is left alone, whatever holds it.
    case noOp
    /// A pending hand-over ends exactly once, not before the last reference is gone, and is not lost.
    case handover
    /// A final release hands its consequences over: nothing of them runs on the releasing thread's stack.
    case release
    /// Discarding contents never changes ownership; a change of ownership says what it does to contents.
    case contents
    /// The steps of a change follow its direction; what was done before a veto is undone.
    case order
    /// What a guest sends is checked and bounded.
    case untrustedGuest
    /// A back end is asked once for each maximal run of pages.
    case runs
}

extension Promise: CustomStringConvertible {
    /// The promise in a few words.
    public var description: String {
        switch self {
        case .access: "nobody reaches a page that its ownership denies"
        case .atomicity: "a change is made as it is told, or not at all"
        case .noOp: "what is so already is left alone"
        case .handover: "a hand-over ends once, and not before the last reference"
        case .release: "a release runs nothing of what follows from it"
        case .contents: "contents are what the change says, and discarding them changes no ownership"
        case .order: "steps follow the direction of a change, and a veto undoes them"
        case .untrustedGuest: "what a guest sends is checked and bounded"
        case .runs: "a back end is asked once for each maximal run"
        }
    }
}

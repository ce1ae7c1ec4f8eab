/// A maximal run of neighbouring pages in the same state.
public struct PageRun<State: Equatable & Sendable>: Sendable, Equatable {
    /// The pages.
    public let range: PageRange
    /// The state that every one of them is in.
    public let state: State

    /// A run of pages in one state.
    @inlinable
    public init(range: PageRange, state: State) {
        self.range = range
        self.state = state
    }
}

extension PageRun: Hashable where State: Hashable {}
extension PageRun: Encodable where State: Encodable {}
extension PageRun: Decodable where State: Decodable {}

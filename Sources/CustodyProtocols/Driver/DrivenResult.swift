/// What a driven operation came to.
public struct DrivenResult: Sendable, Hashable {
    /// What it answered.
    public let answer: Answer
    /// What it waits for, where nobody who could end that can go on: it waits for ever.
    public let stuck: Wait

    /// A result.
    public init(answer: Answer, stuck: Wait = .none) {
        self.answer = answer
        self.stuck = stuck
    }
}

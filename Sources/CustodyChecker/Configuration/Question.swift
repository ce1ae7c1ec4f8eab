import CustodyProtocols

/// A question about the protocols that is settled by exploration: claims, each true or not for a set of actors.
public struct Question: Sendable {
    /// A sentence, and where it is put to the test: it is true if the property holds there.
    public struct Claim: Sendable {
        /// The sentence.
        public let sentence: String
        /// The property that the sentence is.
        public let property: Property
        /// Where the property is checked.
        public let configuration: Configuration
    }

    /// A name for the verdict.
    public let name: String
    /// The question, and what was said about it.
    public let prose: String
    /// Who asked, and where; nil if nobody did.
    public let source: String?
    /// The claims.
    public let claims: [Claim]
    /// Sets of actors for which it is asked how often the first of them can be refused.
    public var retries: [Configuration] = []
}

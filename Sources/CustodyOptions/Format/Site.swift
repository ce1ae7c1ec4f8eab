/// Where a value stands in what is being read.
public struct Site: Sendable {
    /// The key, for messages.
    public let key: String
    /// The keys and numbers that lead to it, from the value that the reading began with.
    public let path: [String]
    /// Whether what is being read may name files. What a trace says may not: whoever reads it did not choose them.
    public let mayNameFiles: Bool

    /// A place in what is being read.
    public init(key: String, path: [String] = [], mayNameFiles: Bool = true) {
        self.key = key
        self.path = path
        self.mayNameFiles = mayNameFiles
    }

    /// The value of a key of this one.
    func value(of key: String) -> Site { Site(key: key, path: path + [key], mayNameFiles: mayNameFiles) }

    /// An item of this list: messages name the list's key.
    func item(_ index: Int) -> Site { Site(key: key, path: path + ["\(index + 1)"], mayNameFiles: mayNameFiles) }
}

/// Where a value stands in what is being read.
package struct Site: Sendable {
    /// The key, for messages.
    package let key: String
    /// The keys and numbers that lead to it, from the value that the reading began with.
    package let path: [String]

    package init(key: String, path: [String] = []) {
        self.key = key
        self.path = path
    }

    /// The value of a key of this one.
    func value(of key: String) -> Site { Site(key: key, path: path + [key]) }

    /// An item of this list: messages name the list's key.
    func item(_ index: Int) -> Site { Site(key: key, path: path + ["\(index + 1)"]) }
}

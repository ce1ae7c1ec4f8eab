/// How far a list has been read.
final class JSONArray {
    let tree: JSONTree
    let node: Int
    private var next: Int
    private(set) var index = 0

    init(_ tree: JSONTree, _ node: Int) throws(JSONError) {
        guard tree.isArray(node) else { throw tree.mismatch(node, "a list") }
        self.tree = tree
        self.node = node
        next = node + 1
    }

    var isAtEnd: Bool { next == tree.next(after: node) }

    func peek() throws(JSONError) -> Int {
        guard !isAtEnd else { throw tree.error("an item is missing here", at: node) }
        return next
    }

    func take() throws(JSONError) -> Int {
        let item = try peek()
        next = tree.next(after: item)
        index += 1
        return item
    }

    func checkIsRead() throws(JSONError) {
        guard isAtEnd else { throw tree.error("this item is one too many", at: next) }
    }
}

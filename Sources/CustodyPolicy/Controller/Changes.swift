import Custody

/// The changes that one request needs, from low to high. One, the common case, allocates nothing.
struct Changes: Sendable {
    private var first: OwnershipChange?
    private var rest: [OwnershipChange] = []

    var isEmpty: Bool { first == nil }
    var count: Int { (first == nil ? 0 : 1) + rest.count }
    var pageCount: UInt64 { rest.reduce(first?.range.count ?? 0) { $0 + $1.range.count } }

    subscript(index: Int) -> OwnershipChange {
        guard index == 0, let first else { return rest[index - 1] }
        return first
    }

    mutating func append(_ change: OwnershipChange) {
        if first == nil { first = change } else { rest.append(change) }
    }

    func forEach(_ body: (OwnershipChange) -> Void) {
        if let first { body(first) }
        for change in rest { body(change) }
    }

    func contains(where predicate: (OwnershipChange) -> Bool) -> Bool {
        if let first, predicate(first) { return true }
        return rest.contains(where: predicate)
    }

    func allSatisfy(_ predicate: (OwnershipChange) -> Bool) -> Bool { !contains { !predicate($0) } }
}

import Synchronization

/// How often something has been compared.
final class ComparisonCounter: Sendable {
    private let value = Atomic<Int>(0)

    var count: Int { value.load(ordering: .relaxed) }
    func increment() { value.add(1, ordering: .relaxed) }
    func reset() { value.store(0, ordering: .relaxed) }
}

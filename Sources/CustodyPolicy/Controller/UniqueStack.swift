import Custody

/// A last-in, first-out list of values that cannot be copied. The first one lies inline: one value allocates nothing.
struct UniqueStack<Element: ~Copyable & Sendable>: ~Copyable, Sendable {
    /// A value in a place of its own, so that a list can be made of it.
    private final class Kept: Sendable {
        private let element: Locked<Element?>
        init(_ element: consuming Element) { self.element = Locked(element) }
        func take() -> Element? { element.withLock { $0.take() } }
    }

    private var bottom: Element?
    private var rest: [Kept] = []

    init() { bottom = nil }

    mutating func push(_ element: consuming Element) {
        if bottom == nil {
            bottom = consume element
        } else {
            rest.append(Kept(element))
        }
    }

    mutating func pop() -> Element? {
        if let top = rest.popLast() { return top.take() }
        return bottom.take()
    }
}

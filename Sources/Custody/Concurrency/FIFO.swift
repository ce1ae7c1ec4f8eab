/// A first-in, first-out queue in one array.
package struct FIFO<Element: Sendable>: Sendable {
    /// `nil` where an element has been taken.
    private var items: [Element?] = []
    private var head = 0

    /// An empty queue.
    package init() {}

    /// The number of elements.
    package var count: Int { items.count - head }

    /// Whether there is none.
    package var isEmpty: Bool { head == items.count }

    /// The oldest element.
    package var first: Element? { head < items.count ? items[head] : nil }

    /// Adds an element at the end.
    ///
    /// - Complexity: O(1), amortized.
    package mutating func append(_ element: Element) { items.append(element) }

    /// Takes the oldest element.
    ///
    /// - Complexity: O(1), amortized: the places of taken elements are removed when they are half of the array.
    package mutating func popFirst() -> Element? {
        guard head < items.count else { return nil }
        let element = items[head].take()
        head += 1
        if head >= 32, head * 2 >= items.count {
            items.removeFirst(head)
            head = 0
        }
        return element
    }
}

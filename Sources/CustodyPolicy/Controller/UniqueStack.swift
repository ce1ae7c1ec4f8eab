import BasicContainers

/// A last-in, first-out list of values that cannot be copied. The first one lies inline: one value allocates nothing.
struct UniqueStack<Element: ~Copyable & Sendable>: ~Copyable, Sendable {
    private var bottom: Element?
    private var rest: UniqueArray<Element>?

    init() {
        bottom = nil
        rest = nil
    }

    mutating func push(_ element: consuming Element) {
        if bottom == nil {
            bottom = consume element
        } else if rest == nil {
            var rest = UniqueArray<Element>(minimumCapacity: 4)
            rest.append(element)
            self.rest = consume rest
        } else {
            rest?.append(element)
        }
    }

    mutating func pop() -> Element? {
        if let top = rest?.popLast() { return top }
        return bottom.take()
    }
}

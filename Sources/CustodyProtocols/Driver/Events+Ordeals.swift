extension Events {
    /// What should never happen under a protocol that is right, each by the name that files use.
    public static let ordeals: [(key: String, value: Events)] = [
        ("host-touched-private", .hostTouchedPrivate), ("underflow", .underflow), ("use-after-free", .usedAfterFree),
        ("null-mapping", .nullMapping), ("warning", .warned), ("slept-in-atomic", .sleptInAtomic),
        ("unlocked", .unlocked), ("completed-out-of-turn", .completedOutOfTurn), ("stale-contents", .staleContents),
    ]

    /// Those of the events that should never happen.
    public var ordeals: Events {
        intersection(Events.ordeals.reduce(into: Events()) { $0.formUnion($1.value) })
    }
}

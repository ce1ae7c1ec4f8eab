#if DEBUG
    import Synchronization

    /// How many pieces of page maps this process has looked at: for tests that bound what is done under a lock, each in a
    /// process of its own.
    @usableFromInline
    package enum PieceCounter {
        private static let count = Atomic<Int>(0)

        /// The number so far.
        package static var value: Int { count.load(ordering: .relaxed) }

        @usableFromInline static func add() { count.add(1, ordering: .relaxed) }
    }
#endif

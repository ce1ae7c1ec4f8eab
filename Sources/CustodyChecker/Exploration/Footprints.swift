import CustodyProtocols

/// What the steps of a configuration's actors were seen to read and write, by operation and by the actor's registers.
///
/// Nothing here is said by hand: every step that an exploration takes, and every attempt that waits, is recorded. From
/// the records follows what an actor may still touch before somebody else moves.
struct Footprints {
    /// One way in which a step was seen to go.
    struct Behaviour {
        /// What it read and wrote.
        var accesses: Accesses
        /// Locks of others that make the step wait: while another holds one of them, it does not happen.
        var excludedBy: UInt128
        /// The number of the actor's registers afterwards.
        var next: UInt32
    }

    /// By operation, by the number of an actor's registers: the ways that were seen.
    private var behaviours: [[[Behaviour]]]
    /// By the locks that somebody holds: by operation and number, all that an actor can touch before they are released.
    private var futures: [UInt128: [[Accesses]]] = [:]
    /// Whether something was seen that the futures do not know.
    private(set) var hasLearned = false

    init(operations: Int) { behaviours = Array(repeating: [], count: operations) }

    /// The place of a way in which a step was seen to go, or nil if it is new.
    func find(_ accesses: Accesses, _ operation: Int, _ number: UInt32, next: UInt32) -> Int? {
        guard number < behaviours[operation].count else { return nil }
        return behaviours[operation][Int(number)].firstIndex { $0.next == next && $0.accesses == accesses }
    }

    /// Adds a way in which a step was seen to go, and returns its place.
    mutating func learn(_ behaviour: Behaviour, _ operation: Int, _ number: UInt32) -> Int {
        while behaviours[operation].count <= Int(max(number, behaviour.next)) { behaviours[operation].append([]) }
        behaviours[operation][Int(number)].append(behaviour)
        hasLearned = true
        return behaviours[operation][Int(number)].count - 1
    }

    /// A way in which a step was seen to go.
    func behaviour(_ operation: Int, _ number: UInt32, _ place: Int) -> Behaviour {
        behaviours[operation][Int(number)][place]
    }

    /// All that an actor was seen to touch from here on, as long as another one holds the locks `held` and keeps them.
    @inline(__always)
    mutating func future(_ operation: Int, _ number: UInt32, while held: UInt128) -> Accesses {
        if let known = futures[held] {
            return number < known[operation].count ? known[operation][Int(number)] : Accesses()
        }
        let all = behaviours.map { future($0, while: held) }
        futures[held] = all
        return number < all[operation].count ? all[operation][Int(number)] : Accesses()
    }

    /// Draws the conclusions from what was seen since.
    mutating func conclude() {
        futures.removeAll(keepingCapacity: true)
        hasLearned = false
    }

    /// The least solution: what a step touches, and what those touch that follow it. O(ways × length of the longest way
    /// back).
    private func future(_ ways: [[Behaviour]], while held: UInt128) -> [Accesses] {
        var futures = [Accesses](repeating: Accesses(), count: ways.count)
        var hasChanged = true
        while hasChanged {
            hasChanged = false
            for number in ways.indices.reversed() {
                var all = futures[number]
                for way in ways[number] where way.excludedBy & held == 0 {
                    all.formUnion(way.accesses)
                    all.formUnion(futures[Int(way.next)])
                }
                if all != futures[number] {
                    futures[number] = all
                    hasChanged = true
                }
            }
        }
        return futures
    }
}

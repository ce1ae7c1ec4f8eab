/// Who of those that could go on does so.
enum Schedule: Sendable {
    /// The caller, for as long as it can; the others when it waits, in their order.
    case callerFirst
    /// Anybody, by chance.
    case adversarial(SplitMix64)

    /// The place of the next one among `count`, of which the caller is the first.
    mutating func next(_ count: Int) -> Int {
        guard case .adversarial(var random) = self, count > 1 else { return 0 }
        let choice = Int(random.next(upperBound: UInt64(count)))
        self = .adversarial(random)
        return choice
    }
}

/// What an operation answered: the kernel's result and what it means.
@frozen
public struct Answer: Hashable, Sendable {
    /// What the kernel returned.
    public var kernel: KernelResult
    /// What it means.
    public var outcome: Outcome
    /// The first page that did not get there, or nil if all did (the kernel's `error_offset`, in pages of the file).
    public var firstStop: PageOffset?

    /// An answer.
    @inlinable
    public init(kernel: KernelResult, outcome: Outcome, firstStop: PageOffset? = nil) {
        self.kernel = kernel
        self.outcome = outcome
        self.firstStop = firstStop
    }
}

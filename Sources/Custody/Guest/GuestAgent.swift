/// A guest that does as it is told, one operation at a time: what scenarios, demonstrations and tests drive.
public protocol GuestAgent: Sendable {
    /// The number of virtual processors.
    var processorCount: Int { get }

    /// Has one virtual processor perform an operation, and returns when it has.
    ///
    /// A request that the operation makes is answered by `handler`, on the processor's own thread.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/guestFailed`` where the guest ended or does not answer,
    ///   ``BackendError/Code/invalidArgument`` for a processor that does not exist.
    func perform(
        _ operation: GuestOperation,
        on processor: Int,
        answeringTo handler: any GuestRequestHandler
    ) throws(BackendError) -> GuestOutcome
}

package import Custody

/// A back end that has another one do everything. It has memory and nothing beside it: no guest, no other processes, no steps of
/// a kernel. What it can do is what a test says.
package final class ForwardingBackend: MemoryBackend {
    private let inner: any MemoryBackend
    package let capabilities: Capabilities

    package init(_ inner: any MemoryBackend, capabilities: Capabilities? = nil) {
        self.inner = inner
        self.capabilities = capabilities ?? inner.capabilities
    }

    package var layout: GuestMemoryLayout { inner.layout }
    package var initialOwnership: PageRunMap<Ownership> { inner.initialOwnership }
    package var executor: any CompletionExecutor { inner.executor }
    package var guestAgent: (any GuestAgent)? { nil }
    package func report(to observer: any BackendObserver) { inner.report(to: observer) }
    package func prepare(_ change: OwnershipChange) throws(BackendError) -> PreparedChange { try inner.prepare(change) }
    package func commit(_ prepared: consuming PreparedChange) throws(BackendError) -> CommitOutcome {
        try inner.commit(prepared)
    }
    package func finish(_ committed: consuming CommittedChange) -> ContentsEffect { inner.finish(committed) }
    package func undo(_ committed: consuming CommittedChange) throws(BackendError) { try inner.undo(committed) }
    package func releaseReservation(_ reservation: Reservation, of change: OwnershipChange) {
        inner.releaseReservation(reservation, of: change)
    }
    package func withdraw(_ handover: BackendHandover) -> Bool { inner.withdraw(handover) }
    package func discardContents(of range: PageRange) throws(BackendError) { try inner.discardContents(of: range) }
    package func shutDown() { inner.shutDown() }
    package func read(_ bytes: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError) {
        try inner.read(&bytes, from: address)
    }
    package func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError) {
        try inner.write(bytes, to: address)
    }
}

import Custody

/// A back end with nothing but bytes: what a guarded access costs beside it is the controller's own.
final class FlatMemory: MemoryBackend {
    let capabilities = Capabilities(
        granularity: .base,
        enforcement: .process,
        contents: .init(toPrivate: .preserved, toShared: .preserved, toHost: .preserved),
        pendingHandovers: .ledger,
        transitAccess: .asBefore,
        maximumProcessors: 1,
        maximumGuestBytes: .max
    )
    let layout: GuestMemoryLayout
    let executor: any CompletionExecutor
    let initialOwnership: PageRunMap<Ownership>
    private let bytes: [UInt8]

    init(pages: UInt64) throws {
        layout = try GuestMemoryLayout(regions: [PageRange(start: PageNumber(0), count: pages)])
        initialOwnership = PageRunMap(bounds: layout.bounds, state: .shared)
        executor = try ThreadExecutor()
        bytes = [UInt8](repeating: 7, count: Int(pages) * 4096)
    }

    var guestAgent: (any GuestAgent)? { nil }
    func report(to observer: any BackendObserver) {}

    func prepare(_ change: OwnershipChange) throws(BackendError) -> PreparedChange {
        PreparedChange(change, reservation: Reservation(rawValue: 1), of: self)
    }

    func commit(_ prepared: consuming PreparedChange) throws(BackendError) -> CommitOutcome {
        let change = prepared.change
        let reservation = try prepared.take(for: self)
        return .completed(CommittedChange(change, reservation: reservation, of: self))
    }

    func finish(_ committed: consuming CommittedChange) -> ContentsEffect {
        _ = committed.take(for: self)
        return .preserved
    }

    func undo(_ committed: consuming CommittedChange) throws(BackendError) { _ = committed.take(for: self) }
    func releaseReservation(_ reservation: Reservation, of change: OwnershipChange) {}
    func withdraw(_ handover: BackendHandover) -> Bool { false }
    func discardContents(of range: PageRange) throws(BackendError) {}
    func shutDown() {}

    func read(_ copy: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError) {
        let first = Int(address.rawValue)
        bytes.withUnsafeBytes { source in
            copy.withUnsafeMutableBytes { copy in
                copy.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[first..<(first + copy.count)]))
            }
        }
    }

    func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError) {}
}

public import Custody

/// A back end with nothing but bytes: what a guarded access costs beside it is the controller's own.
public final class FlatMemory: MemoryBackend {
    public let capabilities = Capabilities(
        granularity: .base,
        enforcement: .process,
        contents: .init(toPrivate: .preserved, toShared: .preserved, toHost: .preserved),
        pendingHandovers: .ledger,
        transitAccess: .asBefore,
        maximumProcessors: 1,
        maximumGuestBytes: .max
    )
    public let layout: GuestMemoryLayout
    public let executor: any CompletionExecutor
    public let initialOwnership: PageRunMap<Ownership>
    private let bytes: [UInt8]

    public init(pages: UInt64) throws {
        layout = try GuestMemoryLayout(regions: [PageRange(start: PageNumber(0), count: pages)])
        initialOwnership = PageRunMap(bounds: layout.bounds, state: .shared)
        executor = try ThreadExecutor()
        bytes = [UInt8](repeating: 7, count: Int(pages) * 4096)
    }

    public var guestAgent: (any GuestAgent)? { nil }
    public func report(to observer: any BackendObserver) {}

    public func prepare(_ change: OwnershipChange) throws(BackendError) -> PreparedChange {
        PreparedChange(change, reservation: Reservation(rawValue: 1), of: self)
    }

    public func commit(_ prepared: consuming PreparedChange) throws(BackendError) -> CommitOutcome {
        let change = prepared.change
        let reservation = try prepared.take(for: self)
        return .completed(CommittedChange(change, reservation: reservation, of: self))
    }

    public func finish(_ committed: consuming CommittedChange) -> ContentsEffect {
        _ = committed.take(for: self)
        return .preserved
    }

    public func undo(_ committed: consuming CommittedChange) throws(BackendError) { _ = committed.take(for: self) }
    public func releaseReservation(_ reservation: Reservation, of change: OwnershipChange) {}
    public func withdraw(_ handover: BackendHandover) -> Bool { false }
    public func discardContents(of range: PageRange) throws(BackendError) {}
    public func shutDown() {}

    public func read(_ copy: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError) {
        let first = Int(address.rawValue)
        bytes.withUnsafeBytes { source in
            copy.withUnsafeMutableBytes { copy in
                copy.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[first..<(first + copy.count)]))
            }
        }
    }

    public func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError) {}
}

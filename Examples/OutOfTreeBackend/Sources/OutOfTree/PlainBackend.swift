import Custody
import Synchronization

/// A guest whose memory is an array of bytes in this process. Pages change hands at once, and keep their bytes.
final class PlainBackend: PageMover {
    private struct Memory: Sendable {
        var owners: PageRunMap<Ownership>
        var bytes: [UInt8]
    }

    let layout: GuestMemoryLayout
    let initialOwnership: PageRunMap<Ownership>
    let executor: any CompletionExecutor
    let engine = ChangeEngine<Void>()
    var capabilities: Capabilities { PlainBackend.capabilities }
    var guestAgent: (any GuestAgent)? { self }
    private let memory: Mutex<Memory>

    static let capabilities = Capabilities(
        granularity: .base,
        enforcement: .process,
        contents: .init(toPrivate: .preserved, toShared: .preserved, toHost: .preserved),
        pendingHandovers: .ledger,
        transitAccess: .asBefore,
        reclaim: .offeredByGuest,
        maximumProcessors: 1,
        maximumGuestBytes: 1 << 30
    )

    init(_ guest: GuestConfiguration) throws(BackendError) {
        layout = guest.layout
        guard layout.bounds.byteCount <= PlainBackend.capabilities.maximumGuestBytes else {
            throw BackendError(.unsupported, "the guest's RAM lies within 1 GiB from its first page on")
        }
        initialOwnership = PageRunMap(bounds: layout.bounds, state: .shared)
        executor = try ThreadExecutor()
        let bytes = [UInt8](repeating: 0, count: Int(layout.bounds.byteCount))
        memory = Mutex(Memory(owners: initialOwnership, bytes: bytes))
    }

    // MARK: Changes

    func plan(_ change: OwnershipChange) throws(BackendError) {
        guard memory.withLock({ $0.owners.isUniform(change.range, change.from) }) else {
            throw BackendError(.invalidArgument, "the pages are not all \(change.from)", range: change.range)
        }
    }

    func move(_ planned: inout PlannedChange<Void>) -> MoveOutcome {
        set(planned.change.range, to: planned.change.to)
        return .done
    }

    func moveBack(_ planned: PlannedChange<Void>) { set(planned.change.range, to: planned.change.from) }

    func drop(_ planned: PlannedChange<Void>) -> ContentsEffect { .preserved }

    func shutDown() { refuseCalls(with: BackendError(.lost, "the guest has been shut down")) }

    private func set(_ range: PageRange, to owner: Ownership) {
        memory.withLock { $0.owners.set(range, to: owner) }
    }

    // MARK: Bytes

    func discardContents(of range: PageRange) throws(BackendError) {
        if let lost = engine.lost { throw lost }
        try touch(range.address, Int(range.byteCount), by: nil) { bytes, places in
            for place in places { bytes[place] = 0 }
        }
    }

    func read(_ bytes: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError) {
        let copy = try touch(address, bytes.count, by: .host) { bytes, places in Array(bytes[places]) }
        for index in copy.indices { bytes[index] = copy[index] }
    }

    func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError) {
        let copy = bytes.indices.map { bytes[$0] }
        try touch(address, copy.count, by: .host) { memory, places in memory.replaceSubrange(places, with: copy) }
    }

    /// Lets a party at bytes, unless one of their pages is out of its reach.
    private func touch<Value: Sendable>(
        _ address: GuestPhysicalAddress,
        _ count: Int,
        by party: Party?,
        _ body: (inout [UInt8], Range<Int>) -> Value
    ) throws(BackendError) -> Value {
        guard let range = try? PageRange(touching: address, byteCount: UInt64(max(count, 1))),
            layout.firstHole(in: range) == nil
        else {
            let fault = HostFault(enforcement: .process, address: address, evidence: "there is no memory")
            let text = "\(count) bytes at \(address) are not all RAM of the guest"
            guard party == .guest else { throw BackendError(.invalidArgument, text) }
            throw BackendError(.accessDenied, text, fault: fault)
        }
        return try memory.withLock { memory throws(BackendError) in
            if let party, let run = memory.owners.runs(in: range).first(where: { !$0.state.allows(party) }) {
                let place = max(run.range.address, address)
                let fault = HostFault(enforcement: .process, address: place, evidence: "the page is \(run.state)")
                throw BackendError(.accessDenied, "\(place) is out of reach", fault: fault)
            }
            let start = Int(address.rawValue - layout.bounds.address.rawValue)
            return body(&memory.bytes, start..<(start + count))
        }
    }
}

extension PlainBackend: InProcessGuest {
    var processorCount: Int { 1 }

    func load(_ count: Int, from address: GuestPhysicalAddress) throws(BackendError) -> [UInt8] {
        try touch(address, count, by: .guest) { bytes, places in Array(bytes[places]) }
    }

    func store(_ bytes: [UInt8], to address: GuestPhysicalAddress) throws(BackendError) {
        try touch(address, bytes.count, by: .guest) { memory, places in memory.replaceSubrange(places, with: bytes) }
    }
}

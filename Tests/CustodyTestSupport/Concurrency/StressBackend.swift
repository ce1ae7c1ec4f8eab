import Custody
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A back end for many threads at once: a word of memory a page, and a look at whose the page is around each access.
///
/// A guest that gets a page writes a secret into it. A host that ever sees one, or that is in a page while the page is not
/// the host's, has got past the controller.
final class StressBackend: MemoryBackend {
    static let secret: UInt64 = 0x5ec2_e75e_c2e7

    private final class Page: Sendable {
        /// 0 shared, 1 private, 2 the host's.
        let owner = Atomic<UInt8>(0)
        let word = Atomic<UInt64>(0)
    }

    private struct Pending {
        let change: OwnershipChange
        let reservation: Reservation
    }

    private let pages: [Page]
    private let commits = Atomic<UInt64>(0)
    private let numbers = Atomic<UInt64>(0)
    private let looks = Atomic<UInt64>(0)
    private let pending = Locked<[BackendHandover: Pending]>([:])
    private let observer = Locked<Weak>(Weak())
    /// How often the host was where it must not be.
    let breaches = Atomic<UInt64>(0)
    let capabilities: Capabilities
    let layout: GuestMemoryLayout
    let executor: any CompletionExecutor
    var guestAgent: (any GuestAgent)? { nil }
    var initialOwnership: PageRunMap<Ownership> { PageRunMap(bounds: layout.bounds, state: .shared) }

    private struct Weak: Sendable { weak var observer: (any BackendObserver)? }

    init(pages count: UInt64, executor: any CompletionExecutor) throws {
        layout = try GuestMemoryLayout(pages: 0..<count)
        pages = (0..<count).map { _ in Page() }
        self.executor = executor
        capabilities = .ofTest(layout, enforcement: .process, transitAccess: .denied)
    }

    /// The ownership of a page, as one that is not on its way has it.
    func ownership(of page: Int) -> Ownership { Self.ownership(pages[page].owner.load(ordering: .acquiring)) }

    private static func ownership(_ code: UInt8) -> Ownership { code == 0 ? .shared : code == 1 ? .private : .host }
    private static func code(_ ownership: Ownership) -> UInt8 {
        ownership == .shared ? 0 : ownership == .private ? 1 : 2
    }

    func report(to observer: any BackendObserver) { self.observer.withLock { $0.observer = observer } }

    func prepare(_ change: OwnershipChange) throws(BackendError) -> PreparedChange {
        for page in change.range.start.rawValue..<change.range.end where ownership(of: Int(page)) != change.from {
            breaches.add(1, ordering: .relaxed)
        }
        let number = numbers.add(1, ordering: .relaxed).newValue
        if number % 997 == 0 { throw BackendError(.resourcesExhausted, "now and then") }
        return PreparedChange(change, reservation: Reservation(rawValue: number), of: self)
    }

    func commit(_ prepared: consuming PreparedChange) throws(BackendError) -> CommitOutcome {
        let change = prepared.change
        let number = commits.add(1, ordering: .relaxed).newValue
        if number % 499 == 0 { throw BackendError(.system, "now and then") }
        let reservation = try prepared.take(for: self)
        guard number % 61 == 0 else {
            make(change)
            return .completed(CommittedChange(change, reservation: reservation, of: self))
        }
        let handover = BackendHandover(rawValue: reservation.rawValue)
        pending.withLock { $0[handover] = Pending(change: change, reservation: reservation) }
        executor.submit { [weak self] in self?.complete(handover) }
        return .pending(handover, blockers: [])
    }

    private func complete(_ handover: BackendHandover) {
        guard let pending = pending.withLock({ $0.removeValue(forKey: handover) }) else { return }
        make(pending.change)
        let committed = CommittedChange(pending.change, reservation: pending.reservation, of: self)
        if let observer = observer.withLock({ $0.observer }) { observer.handoverCompleted(handover, committed) }
    }

    private func make(_ change: OwnershipChange) {
        for index in change.range.start.rawValue..<change.range.end {
            let page = pages[Int(index)]
            // Taken from the host before the secret is there; given to it after the secret is gone.
            if change.to == .private { page.owner.store(Self.code(change.to), ordering: .sequentiallyConsistent) }
            page.word.store(change.to == .private ? Self.secret : 0, ordering: .sequentiallyConsistent)
            if change.to != .private { page.owner.store(Self.code(change.to), ordering: .sequentiallyConsistent) }
        }
    }

    func finish(_ committed: consuming CommittedChange) -> ContentsEffect {
        _ = committed.take(for: self)
        return .zeroed
    }

    func undo(_ committed: consuming CommittedChange) throws(BackendError) {
        let change = committed.change
        _ = committed.take(for: self)
        make(OwnershipChange(range: change.range, from: change.to, to: change.from, initiator: change.initiator))
    }

    func releaseReservation(_ reservation: Reservation, of change: OwnershipChange) {}

    func withdraw(_ handover: BackendHandover) -> Bool {
        pending.withLock { $0.removeValue(forKey: handover) } != nil
    }

    func discardContents(of range: PageRange) throws(BackendError) {}
    func shutDown() {}

    private func look(_ address: GuestPhysicalAddress, _ body: (Page) -> Void) {
        let page = pages[Int(address.page.rawValue)]
        let before = page.owner.load(ordering: .sequentiallyConsistent)
        body(page)
        // Now and then somebody is in the middle of it for a while.
        if looks.add(1, ordering: .relaxed).newValue % 64 == 0 { sched_yield() }
        let after = page.owner.load(ordering: .sequentiallyConsistent)
        if before == 1 || after == 1 { breaches.add(1, ordering: .relaxed) }
    }

    func read(_ bytes: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError) {
        var word: UInt64 = 0
        look(address) { word = $0.word.load(ordering: .sequentiallyConsistent) }
        if word == Self.secret { breaches.add(1, ordering: .relaxed) }
        for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: word >> UInt64(index % 8 * 8)) }
    }

    func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError) {
        let word = UInt64(bytes[0])
        look(address) { $0.word.store(word, ordering: .sequentiallyConsistent) }
    }
}

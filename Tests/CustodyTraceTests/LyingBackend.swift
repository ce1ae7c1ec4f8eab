import Custody
import SimulationBackend

/// A simulation that does not do what it says.
final class LyingBackend: MemoryBackend {
    enum Lie: CaseIterable {
        case doesNotCommit, keepsBytes, losesWrites, doesNotDiscard, doesNotUndo, stopsTheOwner, loosesTheGuestsWrites
    }

    private let honest: SimulationBackend
    private let lie: Lie?

    init(_ honest: SimulationBackend, _ lie: Lie?) {
        self.honest = honest
        self.lie = lie
    }

    var capabilities: Capabilities {
        var capabilities = honest.capabilities
        if lie == .keepsBytes { capabilities.contents.toPrivate = .zeroed }
        return capabilities
    }
    var layout: GuestMemoryLayout { honest.layout }
    var initialOwnership: PageRunMap<Ownership> { honest.initialOwnership }
    var executor: any CompletionExecutor { honest.executor }
    var guestAgent: (any GuestAgent)? { lie == .loosesTheGuestsWrites ? Forgetful(agent: honest) : honest }

    func report(to observer: any BackendObserver) { honest.report(to: observer) }

    func prepare(_ change: OwnershipChange) throws(BackendError) -> PreparedChange {
        PreparedChange(change, reservation: Reservation(rawValue: 0), of: self)
    }

    func commit(_ prepared: consuming PreparedChange) throws(BackendError) -> CommitOutcome {
        let change = prepared.change
        _ = try prepared.take(for: self)
        if lie != .doesNotCommit {
            let bytes = lie == .keepsBytes ? read(change.range) : nil
            switch try honest.commit(try honest.prepare(change)) {
            case .completed(let committed): _ = honest.finish(committed)
            case .blocked(let blockers): return .blocked(by: blockers)
            case .pending(let handover, let blockers): return .pending(handover, blockers: blockers)
            }
            if let bytes, change.to != .private { try honest.write(bytes.span, to: change.range.address) }
        }
        return .completed(CommittedChange(change, reservation: Reservation(rawValue: 0), of: self))
    }

    private func read(_ range: PageRange) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0xA5, count: Int(range.byteCount))
        var span = bytes.mutableSpan
        try? honest.read(&span, from: range.address)
        return bytes
    }

    func finish(_ committed: consuming CommittedChange) -> ContentsEffect {
        _ = committed.take(for: self)
        return .zeroed
    }

    func undo(_ committed: consuming CommittedChange) throws(BackendError) {
        let change = committed.change
        _ = committed.take(for: self)
        guard lie != .doesNotUndo else { return }
        let back = OwnershipChange(range: change.range, from: change.to, to: change.from, initiator: change.initiator)
        if case .completed(let done) = try honest.commit(try honest.prepare(back)) { _ = honest.finish(done) }
    }

    func releaseReservation(_ reservation: Reservation, of change: OwnershipChange) {}
    func withdraw(_ handover: BackendHandover) -> Bool { honest.withdraw(handover) }
    func shutDown() { honest.shutDown() }

    func discardContents(of range: PageRange) throws(BackendError) {
        if lie != .doesNotDiscard { try honest.discardContents(of: range) }
    }

    func read(_ bytes: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError) {
        if lie == .stopsTheOwner {
            throw BackendError(
                .accessDenied,
                "no",
                fault: HostFault(enforcement: .process, address: address, evidence: "no")
            )
        }
        try honest.read(&bytes, from: address)
    }

    func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError) {
        if lie != .losesWrites { try honest.write(bytes, to: address) }
    }
}

/// A guest that says it has written.
private struct Forgetful: GuestAgent {
    let agent: SimulationBackend
    var processorCount: Int { agent.processorCount }

    func perform(
        _ operation: GuestOperation,
        on processor: Int,
        answeringTo handler: any GuestRequestHandler
    ) throws(BackendError) -> GuestOutcome {
        if case .write = operation { return .written }
        return try agent.perform(operation, on: processor, answeringTo: handler)
    }
}

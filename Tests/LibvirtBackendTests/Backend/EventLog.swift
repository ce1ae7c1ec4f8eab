#if Libvirt
import Custody
import CustodyPolicy

/// What a controller told.
final class EventLog: ControllerObserver {
    private let events = Locked<[ControllerEvent]>([])
    var all: [ControllerEvent] { events.withLock { $0 } }

    func observe(_ event: ControllerEvent) { events.withLock { $0.append(event) } }

    /// How a hand-over ended: once, if all is well.
    func ends(of ticket: Ticket) -> [TicketResult] {
        all.compactMap { event in
            guard case .settled(let ended, let result) = event.kind, ended.id == ticket.id else { return nil }
            return result
        }
    }

    /// Who held a hand-over up, each time that they changed.
    func holders(of ticket: Ticket) -> [[Blocker]] {
        all.compactMap { event in
            guard case .advanced(let held, let blockers) = event.kind, held.id == ticket.id else { return nil }
            return blockers
        }
    }

    /// Whether the guest is lost.
    var isLost: Bool { all.contains { if case .lost = $0.kind { true } else { false } } }

    /// The pages that were found in another ownership.
    var found: [OwnershipDifference] {
        all.flatMap { event -> [OwnershipDifference] in
            if case .reconnected(let found) = event.kind { found.ownership } else { [] }
        }
    }

    /// Whether pages, and no others, were found to be shared that were private.
    func tells(thatPrivatePagesAreShared range: PageRange) -> Bool {
        found.map(\.range) == [range] && found.first?.before == .private && found.first?.after == .shared
    }
}
#endif

/// The lease and hand-over interface of a controller, one thing after the other, for a few pages that begin shared.
///
/// It is no second oracle: it is about histories of calls whose order is not known, as their callers saw them, and it
/// does not take the controller's word for that order, which is what an oracle of traces and plays begins with.
///
/// What a requester sees as one call can be seen by others as two moments: pages are claimed, and later they are in
/// their new ownership. Both are events; so are the moments in which a pending hand-over stops waiting and ends.
package struct LeaseSpecification: SequentialSpecification {
    package enum Owner: UInt8, Sendable, Hashable {
        case shared, `private`, inTransit
    }

    package enum TicketPhase: UInt8, Sendable, Hashable {
        case pending, leaving, completed, cancelled
    }

    package struct Ticket: Sendable, Hashable {
        package var pages: UInt8
        package var target: Owner
        package var phase: TicketPhase
    }

    package struct State: Hashable {
        package var owner: [Owner]
        /// The pages of each lease, by its number in the history.
        package var leases: [Int: UInt8] = [:]
        /// The pages of copies that have come and may yet be refused, by the call.
        package var knocks: [Int: UInt8] = [:]
        package var tickets: [UInt64: Ticket] = [:]
        /// The pages that calls under way have claimed, by the call.
        package var claims: [Int: UInt8] = [:]
    }

    /// An event with its result. Pages are a bit each.
    package enum Event: Sendable, Hashable {
        case leased(Int, pages: UInt8)
        case leaseRefused(pages: UInt8, inTransit: Bool, page: Int, ticket: UInt64?)
        case released(Int)
        /// A copy has come: until it knows whether it may have its pages, others may take it for one that does.
        case knocked(call: Int, pages: UInt8)
        case answered(call: Int)
        /// A call that found nothing to do.
        case unchanged(pages: UInt8, Owner)
        case claimed(call: Int, pages: UInt8, Owner)
        case converted(call: Int, Owner, changed: Int)
        case blocked(pages: UInt8, Owner)
        case busy(pages: UInt8, Owner)
        case registered(UInt64, pages: UInt8, Owner)
        case joined(UInt64, pages: UInt8, Owner)
        case left(UInt64, isCancelled: Bool)
        case ended(UInt64, isCancelled: Bool)
        case cancelAnswered(UInt64, Bool)
        case looked(page: Int, Owner)
    }

    package init() {}

    package static func initial(pages: Int) -> State { State(owner: Array(repeating: .shared, count: pages)) }

    /// While a lease lives, none of its pages has been taken from the host.
    package static func isSound(_ state: State) -> Bool {
        state.leases.values.allSatisfy { pages in
            state.owner.indices.allSatisfy { pages & (1 << UInt8($0)) == 0 || state.owner[$0] != .private }
        }
    }

    package func state(after event: Event, in state: State) -> State? {
        var next = state
        switch event {
        case .leased(let lease, let pages):
            guard each(pages, { state.owner[$0] == .shared }) else { return nil }
            next.leases[lease] = pages
        case .leaseRefused(let pages, let inTransit, let page, let ticket):
            let first = bits(pages).first { state.owner[$0] != .shared }
            guard first == page, (state.owner[page] == .inTransit) == inTransit else { return nil }
            let open = state.tickets.first { isOpen($0.value) && $0.value.pages & bit(page) != 0 }?.key
            guard !inTransit || open == ticket else { return nil }
        case .released(let lease):
            guard next.leases.removeValue(forKey: lease) != nil else { return nil }
        case .knocked(let call, let pages): next.knocks[call] = pages
        case .answered(let call):
            guard next.knocks.removeValue(forKey: call) != nil else { return nil }
        case .unchanged(let pages, let target):
            guard each(pages, { state.owner[$0] == target }) else { return nil }
        case .claimed(let call, let pages, let target):
            guard each(pages, { state.owner[$0] != .inTransit }) else { return nil }
            let changed = wanted(pages, target, state)
            guard changed != 0, target != .private || !isHeld(changed, by: state.leases) else { return nil }
            next.claims[call] = changed
            for page in bits(changed) { next.owner[page] = .inTransit }
        case .converted(let call, let target, let count):
            guard let pages = next.claims.removeValue(forKey: call), bits(pages).count == count else { return nil }
            for page in bits(pages) { next.owner[page] = target }
        case .blocked(let pages, let target):
            guard each(pages, { state.owner[$0] != .inTransit }), target == .private,
                isLeased(wanted(pages, target, state), state)
            else { return nil }
        case .busy(let pages, let target):
            guard !each(pages, { state.owner[$0] != .inTransit }), !mayJoin(pages, target, state),
                !takesBack(pages, target, state)
            else { return nil }
        case .registered(let ticket, let pages, let target):
            guard each(pages, { state.owner[$0] != .inTransit }) else { return nil }
            let changed = wanted(pages, target, state)
            guard target == .private, isLeased(changed, state) else { return nil }
            next.tickets[ticket] = Ticket(pages: changed, target: target, phase: .pending)
            for page in bits(changed) { next.owner[page] = .inTransit }
        case .joined(let ticket, let pages, let target):
            guard mayJoin(pages, target, state), let met = state.tickets[ticket], isOpen(met), met.pages & pages != 0
            else { return nil }
        case .left(let ticket, let isCancelled):
            guard let found = state.tickets[ticket], found.phase == .pending,
                isCancelled || !isHeld(found.pages, by: state.leases)
            else { return nil }
            next.tickets[ticket]?.phase = .leaving
        case .ended(let ticket, let isCancelled):
            guard let found = state.tickets[ticket], found.phase == .leaving else { return nil }
            next.tickets[ticket]?.phase = isCancelled ? .cancelled : .completed
            for page in bits(found.pages) { next.owner[page] = isCancelled ? .shared : found.target }
        case .cancelAnswered(let ticket, let isDone):
            guard let found = state.tickets[ticket] else { return nil }
            guard isDone ? found.phase == .cancelled : found.phase != .pending else { return nil }
        case .looked(let page, let owner):
            guard state.owner[page] == owner else { return nil }
        }
        return next
    }

    private func bit(_ page: Int) -> UInt8 { 1 << UInt8(page) }
    private func bits(_ pages: UInt8) -> [Int] { (0..<8).filter { pages & bit($0) != 0 } }
    private func each(_ pages: UInt8, _ holds: (Int) -> Bool) -> Bool { bits(pages).allSatisfy(holds) }
    private func isOpen(_ ticket: Ticket) -> Bool { ticket.phase == .pending || ticket.phase == .leaving }

    private func wanted(_ pages: UInt8, _ target: Owner, _ state: State) -> UInt8 {
        bits(pages).filter { state.owner[$0] != target }.reduce(0) { $0 | bit($1) }
    }

    /// Whether pages are leased, or may be taken for it.
    private func isLeased(_ pages: UInt8, _ state: State) -> Bool {
        isHeld(pages, by: state.leases) || isHeld(pages, by: state.knocks)
    }

    private func isHeld(_ pages: UInt8, by holders: [Int: UInt8]) -> Bool {
        holders.values.contains { $0 & pages != 0 }
    }

    /// The hand-overs and calls under way that have some of the pages.
    private func met(_ pages: UInt8, _ state: State) -> (tickets: [Ticket], calls: Int) {
        (
            state.tickets.values.filter { isOpen($0) && $0.pages & pages != 0 },
            state.claims.values.count { $0 & pages != 0 }
        )
    }

    private func mayJoin(_ pages: UInt8, _ target: Owner, _ state: State) -> Bool {
        let (tickets, calls) = met(pages, state)
        let isRestDone = each(pages) { state.owner[$0] == .inTransit || state.owner[$0] == target }
        return calls == 0 && tickets.count == 1 && tickets[0].target == target && isRestDone
    }

    /// A request for what was before takes hand-overs back that it covers and that still wait; it is not busy then.
    private func takesBack(_ pages: UInt8, _ target: Owner, _ state: State) -> Bool {
        let (tickets, calls) = met(pages, state)
        return calls == 0 && target == .shared
            && tickets.allSatisfy { $0.phase == .pending && $0.pages & ~pages == 0 }
    }
}

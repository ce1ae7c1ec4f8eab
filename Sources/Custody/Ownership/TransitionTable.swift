/// Every change of ownership there is: four ownerships by four, by who asks for it.
///
/// This is the one place that says which move a change is. Two sentences generate it. *Giving* is immediate. *Taking
/// away* is a hand-over from the side that loses the page; a guest that is to lose one is asked, unless it asked itself.
public enum TransitionTable {
    /// One row: `initiator` asks for a page in `from` to become `to`.
    public struct Row: Sendable, Hashable {
        /// The ownership before.
        public let from: Ownership
        /// The ownership asked for.
        public let to: Ownership
        /// Who asks.
        public let initiator: Party
        /// What has to happen.
        public let move: OwnershipMove
    }

    /// All 32 rows.
    public static let rows: [Row] = table.flatMap { from, columns in
        columns.flatMap { to, byHost, byGuest in
            [
                Row(from: from, to: to, initiator: .host, move: byHost),
                Row(from: from, to: to, initiator: .guest, move: byGuest),
            ]
        }
    }

    /// The move that takes a page from one ownership to another when `initiator` asks.
    ///
    /// - Complexity: O(1).
    public static func move(from: Ownership, to: Ownership, initiator: Party) -> OwnershipMove {
        moves[index(from, to, initiator)]
    }

    private typealias Columns = [(to: Ownership, byHost: OwnershipMove, byGuest: OwnershipMove)]

    private static let table: [(from: Ownership, columns: Columns)] = [
        (
            .shared,
            [
                (.shared, .stay, .stay),
                (.private, takeFromHost, takeFromHost),
                (.inTransit, .illegal, .illegal),
                (.host, askGuest, guestOffers),
            ]
        ),
        (
            .private,
            [
                (.shared, .give(to: .host), .give(to: .host)),
                (.private, .stay, .stay),
                (.inTransit, .illegal, .illegal),
                (.host, askGuest, guestOffers),
            ]
        ),
        (
            .inTransit,
            [
                (.shared, .askTicket, .askTicket),
                (.private, .askTicket, .askTicket),
                (.inTransit, .illegal, .illegal),
                (.host, .askTicket, .askTicket),
            ]
        ),
        (
            .host,
            [
                (.shared, .give(to: .guest), .give(to: .guest)),
                (.private, takeFromHost, takeFromHost),
                (.inTransit, .illegal, .illegal),
                (.host, .stay, .stay),
            ]
        ),
    ]

    private static let takeFromHost = OwnershipMove.handOver(from: .host, agreement: .implied)
    private static let askGuest = OwnershipMove.handOver(from: .guest, agreement: .asked)
    private static let guestOffers = OwnershipMove.handOver(from: .guest, agreement: .implied)

    private static let moves: [OwnershipMove] = {
        var moves = [OwnershipMove](repeating: .illegal, count: 32)
        for row in rows { moves[index(row.from, row.to, row.initiator)] = row.move }
        return moves
    }()

    private static func index(_ from: Ownership, _ to: Ownership, _ initiator: Party) -> Int {
        Int(from.rawValue) * 8 + Int(to.rawValue) * 2 + (initiator == .guest ? 1 : 0)
    }
}

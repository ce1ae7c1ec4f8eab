import Custody

/// How many hand-overs are pending, by the party that asked for them: what bounds are held against.
struct PendingCount: Sendable {
    private var host = 0
    private var guest = 0

    var total: Int { host + guest }

    subscript(party: Party) -> Int {
        get { party == .host ? host : guest }
        set { if party == .host { host = newValue } else { guest = newValue } }
    }
}

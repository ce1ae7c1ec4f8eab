import Custody

/// The pages that the guest has given up by itself, as long as they are asked for.
struct GuestOffers: Sendable {
    private struct Offer {
        /// There while it waits to be asked for again.
        var timer: TimerID?
        var isRepeated = false
    }

    private var offers: [PageRange: Offer] = [:]

    /// The number of ranges that are asked for.
    var count: Int { offers.count }

    /// Notes an offer.
    ///
    /// - Returns: `false` where somebody is at it: it is asked for once more then.
    mutating func begin(_ range: PageRange) -> Bool {
        guard offers[range] == nil else {
            offers[range]?.isRepeated = true
            return false
        }
        offers[range] = Offer()
        return true
    }

    /// It is going to be asked for again.
    mutating func keep(_ timer: TimerID, for range: PageRange) { offers[range] = Offer(timer: timer) }

    /// It has been asked for, and is not going to be again.
    ///
    /// - Returns: `false` where it has been offered again in the meantime.
    mutating func end(_ range: PageRange) -> Bool {
        guard offers[range]?.isRepeated == true else {
            offers[range] = nil
            return true
        }
        offers[range]?.isRepeated = false
        return false
    }

    /// The timers of what waits.
    var timers: [TimerID] { offers.values.compactMap(\.timer) }
}

import Custody
import Synchronization

/// Which of the places for copies in and out are taken.
///
/// A place is taken under the controller's lock, in the step that finds that the host has the pages, and given back with
/// one atomic operation and no lock. Whoever finds a copy in its way says so in the same word, under the lock, so that
/// either it sees that the copy is over or the copy's end sees that somebody waits.
final class AccessBoard: Sendable {
    /// How many copies can be under way without a lease in the ledger.
    static let places = 63

    /// A bit for each place that is taken, and one for somebody who waits.
    private let word = Atomic<UInt64>(0)
    private static let waiting: UInt64 = 1 << 63

    /// Takes a free place, under the lock; `nil` where there is none.
    func take() -> Int? {
        let place = (~word.load(ordering: .acquiring)).trailingZeroBitCount
        guard place < Self.places else { return nil }
        word.bitwiseOr(1 << UInt64(place), ordering: .acquiringAndReleasing)
        return place
    }

    /// Gives a place back.
    ///
    /// - Returns: whether somebody waits for a copy.
    func giveBack(_ place: Int) -> Bool {
        word.bitwiseAnd(~(1 << UInt64(place)), ordering: .acquiringAndReleasing).oldValue & Self.waiting != 0
    }

    /// Whether nobody copies at the moment. Asked under the lock, it stays so as long as that is held.
    var isEmpty: Bool { word.load(ordering: .acquiring) & ~Self.waiting == 0 }

    /// The places that are taken, under the lock; whoever gives one of them back learns that somebody waits.
    func takenPlaces() -> UInt64 {
        word.bitwiseOr(Self.waiting, ordering: .acquiringAndReleasing).oldValue & ~Self.waiting
    }

    /// Nobody waits any more, by what is known under the lock.
    func forgetWaiting() { word.bitwiseAnd(~Self.waiting, ordering: .acquiringAndReleasing) }
}

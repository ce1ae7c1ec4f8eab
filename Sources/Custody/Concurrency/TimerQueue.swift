/// What is to be done at certain times: a binary heap whose entries know their place (Cormen et al., *Introduction to
/// Algorithms*, 6.5).
///
/// The next entry is the one with the earliest deadline, of equal ones the oldest. Numbers are not used again.
package struct TimerQueue<Work: Sendable>: Sendable {
    private struct Entry: Sendable {
        let deadline: Timestamp
        let id: UInt64
        let work: Work

        func isBefore(_ other: Entry) -> Bool { (deadline, id) < (other.deadline, other.id) }
    }

    private var heap: [Entry] = []
    /// The place of each entry in the heap.
    private var places: [UInt64: Int] = [:]
    private var nextID: UInt64 = 1
    /// The number of times that an entry has been put in a place: what the queue has cost so far.
    package private(set) var moves = 0

    /// An empty queue.
    package init() {}

    /// The number of entries.
    package var count: Int { heap.count }

    /// Whether there is none.
    package var isEmpty: Bool { heap.isEmpty }

    /// The earliest deadline, with the number of its entry.
    package var next: (deadline: Timestamp, id: TimerID)? {
        heap.first.map { ($0.deadline, TimerID(rawValue: $0.id)) }
    }

    /// A number for something that is kept elsewhere, and ordered with the entries.
    package mutating func nextNumber() -> TimerID {
        defer { nextID += 1 }
        return TimerID(rawValue: nextID)
    }

    /// Adds an entry. One that is due ``Timestamp/never`` is not kept.
    ///
    /// - Complexity: O(log *n*).
    package mutating func insert(_ deadline: Timestamp, _ work: Work) -> TimerID {
        let id = nextNumber()
        guard deadline != .never else { return id }
        let entry = Entry(deadline: deadline, id: id.rawValue, work: work)
        heap.append(entry)
        rise(entry, from: heap.count - 1)
        return id
    }

    /// Takes an entry out, whenever it is due; `nil` where it is gone.
    ///
    /// - Complexity: O(log *n*).
    @discardableResult
    package mutating func remove(_ id: TimerID) -> Work? {
        guard let place = places.removeValue(forKey: id.rawValue) else { return nil }
        return take(place).work
    }

    /// Takes the next entry out if it is due by `now`.
    ///
    /// - Complexity: O(log *n*).
    package mutating func popDue(by now: Timestamp) -> (deadline: Timestamp, id: TimerID, work: Work)? {
        guard let first = heap.first, first.deadline <= now else { return nil }
        places[first.id] = nil
        _ = take(0)
        return (first.deadline, TimerID(rawValue: first.id), first.work)
    }

    /// All entries, by deadline and then by age.
    ///
    /// - Complexity: O(*n* log *n*).
    package var all: [(deadline: Timestamp, id: TimerID, work: Work)] {
        heap.sorted { $0.isBefore($1) }.map { ($0.deadline, TimerID(rawValue: $0.id), $0.work) }
    }

    /// Fills the place of an entry with the last one.
    private mutating func take(_ place: Int) -> Entry {
        let taken = heap[place]
        let last = heap.removeLast()
        guard place < heap.count else { return taken }
        if place > 0, last.isBefore(heap[(place - 1) / 2]) { rise(last, from: place) } else { sink(last, from: place) }
        return taken
    }

    private mutating func put(_ entry: Entry, _ place: Int) {
        heap[place] = entry
        places[entry.id] = place
        moves += 1
    }

    private mutating func rise(_ entry: Entry, from start: Int) {
        var place = start
        while place > 0, entry.isBefore(heap[(place - 1) / 2]) {
            put(heap[(place - 1) / 2], place)
            place = (place - 1) / 2
        }
        put(entry, place)
    }

    private mutating func sink(_ entry: Entry, from start: Int) {
        var place = start
        while true {
            var child = place * 2 + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].isBefore(heap[child]) { child += 1 }
            guard heap[child].isBefore(entry) else { break }
            put(heap[child], place)
            place = child
        }
        put(entry, place)
    }
}

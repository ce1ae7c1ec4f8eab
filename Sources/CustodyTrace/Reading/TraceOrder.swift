import HeapModule

/// Puts the lines of a trace into the order in which what they tell of took effect.
///
/// Each thread writes its lines when it comes to it, so that one may stand after the line of a later step. How far after
/// is bounded: ``window`` lines wait for those before them.
package struct TraceOrder: Sendable {
    /// The largest number of lines that a line may stand after its place.
    package static let window = 1 << 16

    /// A line that waits. Lines of one step are in the order in which they stand. The heap moves and compares it often, and
    /// its line is large.
    private final class Waiting: Comparable, Sendable {
        let sequence: UInt64
        let number: UInt64
        let entry: Trace.Entry

        init(_ sequence: UInt64, _ entry: Trace.Entry) {
            self.sequence = sequence
            number = entry.record.number
            self.entry = entry
        }

        static func < (one: Waiting, other: Waiting) -> Bool {
            (one.sequence, one.number) < (other.sequence, other.number)
        }

        static func == (one: Waiting, other: Waiting) -> Bool {
            (one.sequence, one.number) == (other.sequence, other.number)
        }
    }

    private var heap = Heap<Waiting>()
    /// The largest number of a step so far: the writer's notes come after it.
    private var largest: UInt64 = 0
    /// The step of the last line that was given out.
    private var last: UInt64 = 0

    package init() {}

    /// Takes the next line of the file, and gives one out where so many wait that its place is known.
    ///
    /// - Throws: ``TraceError`` for a line that comes too late.
    /// - Complexity: O(log *n*) in the number of lines that wait.
    package mutating func add(_ entry: Trace.Entry) throws(TraceError) -> Trace.Entry? {
        let sequence = entry.record.sequence ?? largest
        guard sequence >= last else {
            throw entry.error("the line stands more than \(TraceOrder.window) lines after its place")
        }
        largest = max(largest, sequence)
        heap.insert(Waiting(sequence, entry))
        return heap.count > TraceOrder.window ? next() : nil
    }

    /// The first of the lines that wait: after the last line of the file each is in its place.
    package mutating func next() -> Trace.Entry? {
        guard let first = heap.popMin() else { return nil }
        last = first.sequence
        return first.entry
    }

    /// Whether lines of more than one thread wait.
    var isOfSeveralThreads: Bool {
        guard let first = heap.unordered.first?.entry.record.thread else { return false }
        return heap.unordered.contains { $0.entry.record.thread != first }
    }
}

@testable import Custody
import CustodyTestSupport
import Testing

@Suite struct TimerQueueTests {
    @Test func entriesComeByTheirTimeAndThenByTheirAge() {
        var queue = TimerQueue<String>()
        for (name, time) in [("d", 30), ("a", 10), ("e", 30), ("b", 20), ("c", 20)] as [(String, UInt64)] {
            _ = queue.insert(Timestamp(rawValue: time), name)
        }
        #expect(queue.next?.deadline == Timestamp(rawValue: 10))
        #expect(queue.popDue(by: Timestamp(rawValue: 9)) == nil)
        var order = ""
        while let entry = queue.popDue(by: Timestamp(rawValue: 30)) { order += entry.work }
        #expect(order == "abcde")
        #expect(queue.isEmpty && queue.next == nil)
    }

    @Test func whatNeverComesIsNotKept() {
        var queue = TimerQueue<Int>()
        let id = queue.insert(.never, 1)
        #expect(queue.isEmpty && queue.popDue(by: .never) == nil)
        #expect(queue.remove(id) == nil)
        #expect(Timestamp(rawValue: 5).advanced(by: .seconds(Int64.max)) == .never)
    }

    /// Against a sorted array, with numbers of entries that are gone among those that are removed.
    @Test func itIsASortedArray() {
        var random = SystemRandomNumberGenerator()
        let seed = UInt64.random(in: .min ... .max, using: &random)
        var state = seed
        func next(_ bound: UInt64) -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) % bound
        }
        var queue = TimerQueue<UInt64>()
        var array: [(deadline: UInt64, id: UInt64, work: UInt64)] = []
        var ids: [TimerID] = []
        for step in 0..<20_000 {
            switch next(5) {
            case 0, 1:
                let deadline = next(1000)
                let id = queue.insert(Timestamp(rawValue: deadline), UInt64(step))
                ids.append(id)
                array.append((deadline, id.rawValue, UInt64(step)))
                array.sort { ($0.deadline, $0.id) < ($1.deadline, $1.id) }
            case 2 where !ids.isEmpty:
                let id = ids[Int(next(UInt64(ids.count)))]
                let index = array.firstIndex { $0.id == id.rawValue }
                let expected = index.map { array.remove(at: $0).work }
                #expect(queue.remove(id) == expected, "seed \(seed), step \(step)")
            default:
                let now = next(1000)
                let isDue = array.first.map { $0.deadline <= now } ?? false
                let expected = isDue ? array.removeFirst().work : nil
                #expect(queue.popDue(by: Timestamp(rawValue: now))?.work == expected, "seed \(seed), step \(step)")
            }
            #expect(queue.count == array.count)
        }
        #expect(queue.all.map(\.work) == array.map(\.work))
    }

    /// Each entry is moved O(log n) times as it comes and as it goes, whatever the order and however it goes.
    @Test(arguments: [1 << 10, 1 << 14], ["popped", "removed"])
    func entriesAreMovedSeldom(count: Int, end: String) {
        for order in ["earliest first", "latest first", "mixed"] {
            var queue = TimerQueue<Int>()
            var ids: [TimerID] = []
            for number in 0..<count {
                let time =
                    switch order {
                    case "earliest first": number
                    case "latest first": count - number
                    default: number &* 7919 % count
                    }
                ids.append(queue.insert(Timestamp(rawValue: UInt64(time)), number))
            }
            if end == "popped" {
                while queue.popDue(by: Timestamp(rawValue: UInt64(count))) != nil {}
            } else {
                for id in ids { queue.remove(id) }
            }
            #expect(queue.isEmpty)
            let depth = Int.bitWidth - count.leadingZeroBitCount
            #expect(queue.moves <= count * 2 * (depth + 1), "\(order), \(end): \(queue.moves)")
        }
    }
}

@Suite struct FIFOTests {
    @Test func elementsComeInTheirOrder() {
        var queue = FIFO<Int>()
        var expected = 0
        var next = 0
        for round in 0..<2000 {
            for _ in 0..<(round % 7) {
                queue.append(next)
                next += 1
            }
            for _ in 0..<(round % 5) where !queue.isEmpty {
                #expect(queue.first == expected)
                #expect(queue.popFirst() == expected)
                expected += 1
            }
            #expect(queue.count == next - expected)
        }
        while let element = queue.popFirst() {
            #expect(element == expected)
            expected += 1
        }
        #expect(expected == next && queue.isEmpty && queue.first == nil)
    }

    /// What has been taken is let go of at once, and its place before long.
    @Test func whatHasBeenTakenIsGone() {
        final class Probe: Sendable {}
        var queue = FIFO<Probe>()
        weak var last: Probe?
        for _ in 0..<1000 {
            let probe = Probe()
            last = probe
            queue.append(probe)
            queue.append(Probe())
            _ = queue.popFirst()
        }
        while queue.popFirst() != nil {}
        #expect(last == nil)
    }
}

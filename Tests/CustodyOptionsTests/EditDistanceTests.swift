import CustodyTestSupport
import SimulationBackend
import Testing

@testable import CustodyOptions

@Suite struct EditDistanceTests {
    @Test(arguments: [
        ("", "", 0), ("a", "", 1), ("", "abc", 3), ("memory", "memory", 0), ("memroy", "memory", 1), ("ab", "ba", 1),
        ("kitten", "sitting", 3), ("vcpu", "vcpus", 1), ("ca", "abc", 3), ("größe", "grosse", 3),
    ])
    func known(first: String, second: String, distance: Int) {
        #expect(EditDistance.distance(first, second) == distance)
        #expect(EditDistance.distance(second, first) == distance)
    }

    /// No more than the number of edits that were made, symmetric, zero for equal words alone.
    @Test func bounds() {
        var (random, note) = Seed.generator("EditDistance")
        for _ in 0..<500 {
            let word = String((0..<random.next(upperBound: UInt64(12))).map { _ in letter(&random) })
            var edited = Array(word)
            let edits = Int(random.next(upperBound: UInt64(4)))
            for _ in 0..<edits {
                let place = Int(random.next(upperBound: UInt64(edited.count + 1)))
                switch random.next(upperBound: UInt64(3)) {
                case 0: edited.insert(letter(&random), at: place)
                case 1 where place < edited.count: edited.remove(at: place)
                default: if place < edited.count { edited[place] = letter(&random) }
                }
            }
            let distance = EditDistance.distance(word, String(edited))
            #expect(distance <= edits, "\(note): \(word) \(String(edited))")
            #expect((distance == 0) == (word == String(edited)))
            #expect(distance == EditDistance.distance(String(edited), word))
        }
    }

    private func letter(_ random: inout SplitMix64) -> Character {
        ["a", "b", "c", "d"].randomElement(using: &random) ?? "a"
    }

    @Test func nearest() {
        let words = ["memory", "processors", "granularity"]
        #expect(EditDistance.nearest(to: "memroy", in: words) == "memory")
        #expect(EditDistance.nearest(to: "MEMORY", in: words) == "memory")
        #expect(EditDistance.nearest(to: "processor", in: words) == "processors")
        #expect(EditDistance.nearest(to: "zzzzzzzzzzzz", in: words) == nil)
        #expect(EditDistance.nearest(to: "x", in: []) == nil)
        // A word without a letter in common is not meant, however short.
        #expect(EditDistance.nearest(to: "wiat", in: ["at"]) == nil)
        #expect(EditDistance.nearest(to: "wiat", in: ["at", "walt"]) == "walt")
        #expect(EditDistance.nearest(to: "ta", in: ["at"]) == "at")
        #expect(EditDistance.nearest(to: String(repeating: "m", count: 100_000), in: words) == nil)
    }
}

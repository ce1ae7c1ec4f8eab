import Custody
import CustodyTestSupport
import SimulationBackend
import Testing

/// The run map against the plainest thing there is: an array with one element a page.
@Suite struct PageRunMapTests {
    /// Fragments and defragments a map of a few thousand pages, so that blocks of runs split and join many times.
    @Test(arguments: [0, 7, PageNumber.last.rawValue - 4095])
    func agreesWithAnArray(base: UInt64) throws {
        var (random, note) = Seed.generator("PageRunMap")
        let count = 4096
        var map = PageRunMap(bounds: try PageRange(start: PageNumber(base), count: UInt64(count)), state: 0)
        var array = [Int](repeating: 0, count: count)
        var mostRuns = 0
        for step in 0..<6000 {
            // Small sets break the map up; now and then a large one joins what it covers.
            let isLarge = random.next(upperBound: UInt64(400)) == 0
            let isSweep = step % 3000 >= 2400
            let start = Int(random.next(upperBound: UInt64(count)))
            let longest = isLarge ? count : isSweep ? 200 : 4
            let length = min(count - start, 1 + Int(random.next(upperBound: UInt64(longest))))
            let state = Int(random.next(upperBound: UInt64(isSweep ? 2 : 4)))
            map.set(try range(base, start, length), to: state)
            for index in start..<(start + length) { array[index] = state }
            mostRuns = max(mostRuns, map.runCount)
            let inform: Comment = "\(note), base \(base), step \(step): set \(start)+\(length) to \(state)"
            try checkAround(map, array, base, start, length, inform)
            if step % 50 == 0 { try checkAll(map, array, base, &random, inform) }
        }
        try checkAll(map, array, base, &random, "\(note), at the end")
        #expect(mostRuns > 1024, "the test is to be about a full window, and there were only \(mostRuns) runs")
    }

    /// Many windows and levels, with states that are too many for a window and states that are not; old copies stay as
    /// they were.
    @Test(arguments: [3, 7])
    func manyWindowsAgreeWithAnArray(states: UInt64) throws {
        var (random, note) = Seed.generator("PageRunMap windows")
        let count = 120_000
        let base: UInt64 = 77
        var map = PageRunMap(bounds: try range(base, 0, count), state: 0)
        var array = [Int](repeating: 0, count: count)
        var copy = (map: map, array: array)
        for step in 0..<12_000 {
            // Crowded places become windows; now and then much of it becomes one run.
            let isLarge = step % 1000 == 999
            let crowd = Int(random.next(upperBound: UInt64(12))) * 10_000
            let start =
                isLarge
                ? Int(random.next(upperBound: UInt64(count))) : crowd + Int(random.next(upperBound: 800 as UInt64))
            let longest = isLarge ? count / 4 : 3
            let length = min(count - start, 1 + Int(random.next(upperBound: UInt64(longest))))
            let state = Int(random.next(upperBound: step % 3000 < 2000 ? states : 2))
            map.set(try range(base, start, length), to: state)
            for index in start..<(start + length) { array[index] = state }
            let inform: Comment = "\(note), step \(step): set \(start)+\(length) to \(state)"
            if step % 10 == 0 { try checkAround(map, array, base, start, length, inform) }
            if step % 1500 == 1499 {
                let expected = (try runs(of: array, base, 0, count), try runs(of: copy.array, base, 0, count))
                try #require(Array(map.runs) == expected.0 && map.runCount == expected.0.count, inform)
                try #require(Array(copy.map.runs) == expected.1, inform)
                try checkCounts(map, array, base, &random, inform)
                copy = (map, array)
            }
        }
    }

    private func checkCounts(
        _ map: PageRunMap<Int>,
        _ array: [Int],
        _ base: UInt64,
        _ random: inout SplitMix64,
        _ inform: Comment
    ) throws {
        for _ in 0..<20 {
            let start = Int(random.next(upperBound: UInt64(array.count)))
            let length = 1 + Int(random.next(upperBound: UInt64(array.count - start)))
            let asked = try range(base, start, length)
            let state = Int(random.next(upperBound: 4 as UInt64))
            let places = array[start..<(start + length)].indices.filter { array[$0] == state }
            try #require(map.pageCount(in: asked) { $0 == state } == UInt64(places.count), inform)
            let wanted = Int(random.next(upperBound: UInt64(places.count + 2)))
            var skipped = UInt64(wanted)
            let page = map.firstPage(in: asked, after: &skipped) { $0 == state }
            if wanted < places.count {
                try #require(page == PageNumber(base + UInt64(places[wanted])), inform)
            } else {
                try #require(page == nil && skipped == UInt64(wanted - places.count), inform)
            }
        }
    }

    private func range(_ base: UInt64, _ start: Int, _ length: Int) throws -> PageRange {
        try PageRange(start: PageNumber(base + UInt64(start)), count: UInt64(length))
    }

    private func checkAround(
        _ map: PageRunMap<Int>,
        _ array: [Int],
        _ base: UInt64,
        _ start: Int,
        _ length: Int,
        _ inform: Comment
    ) throws {
        for index in [start - 1, start, start + length - 1, start + length] where array.indices.contains(index) {
            try #require(map[PageNumber(base + UInt64(index))] == array[index], inform)
        }
        var low = start
        while low > 0, array[low - 1] == array[start] { low -= 1 }
        var high = start
        while high < array.count, array[high] == array[start] { high += 1 }
        let run = PageRun(range: try range(base, low, high - low), state: array[start])
        try #require(map.run(containing: PageNumber(base + UInt64(start))) == run, inform)
        try #require(map.isUniform(run.range, run.state), inform)
        try #require(!map.isUniform(run.range, run.state + 1), inform)
        if high < array.count {
            let longer = try range(base, low, high - low + 1)
            try #require(!map.isUniform(longer, run.state), inform)
        }
    }

    private func checkAll(
        _ map: PageRunMap<Int>,
        _ array: [Int],
        _ base: UInt64,
        _ random: inout SplitMix64,
        _ inform: Comment
    ) throws {
        let expected = try runs(of: array, base, 0, array.count)
        try #require(Array(map.runs) == expected, inform)
        try #require(map.runCount == expected.count, inform)
        for _ in 0..<4 {
            let start = Int(random.next(upperBound: UInt64(array.count)))
            let length = 1 + Int(random.next(upperBound: UInt64(array.count - start)))
            let cut = Array(map.runs(in: try range(base, start, length)))
            let expectedCut = try runs(of: array, base, start, length)
            try #require(cut == expectedCut, inform)
        }
        // Equal is what has the same states, whichever way it came about.
        var rebuilt = PageRunMap(bounds: map.bounds, state: 9)
        for run in expected.shuffled(using: &random) { rebuilt.set(run.range, to: run.state) }
        try #require(rebuilt == map, inform)
        let page = Int(random.next(upperBound: UInt64(array.count)))
        rebuilt.set(try range(base, page, 1), to: array[page] + 1)
        try #require(rebuilt != map, inform)
    }

    private func runs(of array: [Int], _ base: UInt64, _ start: Int, _ length: Int) throws -> [PageRun<Int>] {
        var runs: [PageRun<Int>] = []
        var low = start
        for index in start..<(start + length) where index + 1 == start + length || array[index + 1] != array[index] {
            runs.append(PageRun(range: try range(base, low, index + 1 - low), state: array[index]))
            low = index + 1
        }
        return runs
    }

    @Test func alternatingPagesAndBack() throws {
        let pages = 3000 as UInt64
        let uniform = PageRunMap(bounds: try PageRange(pages: 0..<pages), state: false)
        var map = uniform
        for page in stride(from: 1, to: pages, by: 2) { map.set(try PageRange(pages: page..<(page + 1)), to: true) }
        #expect(map.runCount == Int(pages))
        #expect(map.runs.allSatisfy { $0.range.count == 1 && $0.state == ($0.range.start.rawValue % 2 == 1) })
        for page in stride(from: pages - 1, to: 0, by: -2) {
            map.set(try PageRange(pages: page..<(page + 1)), to: false)
        }
        #expect(map == uniform)
        #expect(map.runCount == 1)
    }

    @Test func whatLiesOutsideTheBoundsIsLeftAlone() throws {
        var map = PageRunMap(bounds: try PageRange(pages: 10..<20), state: "a")
        map.set(try PageRange(pages: 0..<10), to: "b")
        map.set(try PageRange(pages: 20..<30), to: "b")
        #expect(map.runCount == 1)
        map.set(try PageRange(pages: 18..<30), to: "b")
        #expect(try Array(map.runs).map(\.range) == [PageRange(pages: 10..<18), PageRange(pages: 18..<20)])
        #expect(map[PageNumber(9)] == nil && map[PageNumber(20)] == nil)
        #expect(map.run(containing: PageNumber(20)) == nil)
        #expect(try Array(map.runs(in: PageRange(pages: 20..<30))).isEmpty)
        #expect(try Array(map.runs(in: PageRange(pages: 0..<11))).map(\.range) == [PageRange(pages: 10..<11)])
        #expect(try !map.isUniform(PageRange(pages: 19..<21), "b"))
        #expect(try !map.isUniform(PageRange(pages: 9..<11), "a"))
    }

    @Test func aCopyIsAValueOfItsOwn() throws {
        var map = PageRunMap(bounds: try PageRange(pages: 0..<10), state: 1)
        let before = map
        let runs = map.runs
        map.set(try PageRange(pages: 3..<4), to: 2)
        #expect(before.runCount == 1 && map.runCount == 3)
        #expect(Array(runs).count == 1)
        #expect(before != map)
        #expect(before != PageRunMap(bounds: try PageRange(pages: 0..<11), state: 1))
    }
}

import Custody

enum RunMapTarget {
    private static let pages = 1500

    static func run(_ bytes: [UInt8]) throws(FuzzTarget.Failure) {
        var instructions = Instructions(bytes)
        let base = instructions.next(below: 2) == 0 ? 0 : PageNumber.last.rawValue - UInt64(pages - 1)
        func range(_ first: Int, _ count: Int) -> PageRange {
            PageRange(uncheckedStart: base + UInt64(first), count: UInt64(count))
        }
        var map = PageRunMap(bounds: range(0, pages), state: 0)
        var array = [Int](repeating: 0, count: pages)
        while !instructions.isAtEnd {
            let state = instructions.next(below: 5)
            let first = instructions.next(below: pages)
            let count = min(pages - first, 1 + instructions.next(below: state == 4 ? pages : 6))
            switch state {
            case 4:
                // Every other page: as many runs as there can be.
                for page in stride(from: first, to: first + count, by: 2) {
                    map.set(range(page, 1), to: 1)
                    array[page] = 1
                }
            default:
                map.set(range(first, count), to: state)
                for page in first..<(first + count) { array[page] = state }
            }
            let expected = runs(of: array, first, count, base)
            try FuzzTarget.require(Array(map.runs(in: range(first, count))) == expected, "runs near \(first) differ")
            try FuzzTarget.require(map[range(first, 1).start] == array[first], "page \(first) differs")
        }
        let all = runs(of: array, 0, pages, base)
        try FuzzTarget.require(Array(map.runs) == all && map.runCount == all.count, "the runs differ")
    }

    private static func runs(of array: [Int], _ first: Int, _ count: Int, _ base: UInt64) -> [PageRun<Int>] {
        var runs: [PageRun<Int>] = []
        var low = first
        for page in first..<(first + count) where page + 1 == first + count || array[page + 1] != array[page] {
            let range = PageRange(uncheckedStart: base + UInt64(low), count: UInt64(page + 1 - low))
            runs.append(PageRun(range: range, state: array[page]))
            low = page + 1
        }
        return runs
    }
}

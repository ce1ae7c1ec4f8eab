import Custody

enum RangeTreeTarget {
    private static let pages = 4096

    static func run(_ bytes: [UInt8]) throws(FuzzTarget.Failure) {
        var instructions = Instructions(bytes)
        var tree = PageRangeTree()
        var list: [(range: PageRange, id: UInt64)] = []
        var nextID: UInt64 = 0
        while !instructions.isAtEnd {
            let action = instructions.next(below: 3)
            let first = instructions.next(below: pages)
            let count = 1 + instructions.next(below: 40)
            let range = PageRange(uncheckedStart: UInt64(first), count: UInt64(count))
            switch action {
            case 0:
                tree.insert(range, nextID)
                list.append((range, nextID))
                nextID += 1
            case 1 where !list.isEmpty:
                let gone = list.remove(at: first % list.count)
                tree.remove(gone.range, gone.id)
            default:
                let met = list.filter { $0.range.overlaps(range) }
                let sorted = met.sorted { ($0.range.start, $0.id) < ($1.range.start, $1.id) }.map(\.id)
                var found: [UInt64] = []
                tree.forEach(meeting: range) { found.append($0) }
                try FuzzTarget.require(found == sorted, "\(found) meet \(range), not \(sorted)")
                let page = met.compactMap { $0.range.intersection(range)?.start }.min()
                try FuzzTarget.require(tree.firstPage(in: range) == page, "the first page in \(range) differs")
            }
        }
    }
}

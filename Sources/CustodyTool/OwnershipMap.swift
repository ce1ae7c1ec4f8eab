import Custody

/// A picture of ownership for a terminal: a cell for so many pages, as wide as the terminal is.
struct OwnershipMap {
    private let picture: OwnershipPicture
    private let columns: Int
    private let isColoured: Bool

    /// The most rows of cells of a map: a larger guest gets larger cells.
    private static let maximumRows: UInt64 = 24
    private static let label = 18

    init(_ picture: OwnershipPicture, width: Int, isColoured: Bool) {
        self.picture = picture
        columns = max(16, width - OwnershipMap.label)
        self.isColoured = isColoured
    }

    /// The pages of a cell: a power of two.
    private var pagesPerCell: UInt64 {
        let cells = UInt64(columns) * OwnershipMap.maximumRows
        var pages: UInt64 = 1
        while picture.layout.pageCount / pages > cells { pages *= 2 }
        return pages
    }

    var text: String {
        let pages = pagesPerCell
        var lines = ["\(picture.title), a cell is \(ByteCount.text(ofPages: pages))".printable, ""]
        for (region, runs) in picture.regions {
            var runs = runs
            var rest: PageRange? = region
            while let range = rest {
                let row = first(pages * UInt64(columns), of: range)
                let address = "\(row.address)"
                let space = String(repeating: " ", count: max(1, OwnershipMap.label - address.count))
                lines.append(address + space + cells(row, pages, &runs))
                rest = range.suffix(from: PageNumber(row.end))
            }
            lines.append("")
        }
        lines.append(legend)
        if !picture.handovers.isEmpty { lines += [""] + picture.handovers.map(\.printable) }
        if !picture.leases.isEmpty { lines += [""] + picture.leases.map(\.printable) }
        return lines.joined(separator: "\n")
    }

    /// The cells of a row, of the runs from its first page on.
    private func cells(_ row: PageRange, _ pages: UInt64, _ runs: inout ArraySlice<PageRun<Ownership>>) -> String {
        var text = ""
        var colour: Ownership??
        var rest: PageRange? = row
        while let range = rest {
            let cell = first(pages, of: range)
            let state = state(of: cell, &runs)
            if isColoured, colour != .some(state) {
                text += paint(state)
                colour = .some(state)
            }
            text += glyph(state)
            rest = range.suffix(from: PageNumber(cell.end))
        }
        return isColoured ? text + "\u{1B}[0m" : text
    }

    /// The ownership of all pages of a cell, or `nil` for several; passes over the runs that end in it.
    private func state(of cell: PageRange, _ runs: inout ArraySlice<PageRun<Ownership>>) -> Ownership? {
        let state = runs.first?.state
        var isUniform = true
        while let run = runs.first, run.range.start.rawValue < cell.end {
            isUniform = isUniform && run.state == state
            guard run.range.end <= cell.end else { break }
            runs.removeFirst()
        }
        return isUniform ? state : nil
    }

    private func first(_ pages: UInt64, of range: PageRange) -> PageRange {
        guard range.count > pages else { return range }
        return range.prefix(before: PageNumber(range.start.rawValue + pages)) ?? range
    }

    private var legend: String {
        let parts = picture.sums.map { ownership, size in
            let cell = isColoured ? paint(ownership) + glyph(ownership) + "\u{1B}[0m" : glyph(ownership)
            return "\(cell) \(ownership) \(size)"
        }
        return (parts + ["\(glyph(nil)) mixed"]).joined(separator: "   ")
    }

    private func glyph(_ ownership: Ownership?) -> String {
        switch ownership {
        case .shared: "░"
        case .private: "█"
        case .inTransit: "▒"
        case .host: "·"
        case nil: "▚"
        }
    }

    /// Green, blue, yellow, grey, and magenta for a cell of several.
    private func paint(_ ownership: Ownership?) -> String {
        let code =
            switch ownership {
            case .shared: 32
            case .private: 34
            case .inTransit: 33
            case .host: 90
            case nil: 35
            }
        return "\u{1B}[\(code)m"
    }
}

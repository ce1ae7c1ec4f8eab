/// Rows of text under headings, every column as wide as its widest cell. A cell is one line, whatever is in it.
struct TextTable {
    private var rows: [[String]]

    init(_ headings: [String]) { rows = [headings] }

    mutating func add(_ row: [String]) { rows.append(row.map(\.printable)) }

    var lines: [String] {
        let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        func line(_ row: [String]) -> String {
            // Nothing is padded that would be cut off again: one wide cell does not make all lines long.
            guard let last = row.lastIndex(where: { !$0.isEmpty }) else { return "" }
            let cells = zip(row[..<last], widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
            return (cells + [row[last]]).joined(separator: "  ")
        }
        let rule = widths.map { String(repeating: "─", count: $0) }.joined(separator: "  ")
        return [line(rows[0]), rule] + rows.dropFirst().map(line)
    }
}

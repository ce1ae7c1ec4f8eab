import Testing

@testable import CustodyTool

@Suite struct TextTableTests {
    @Test func columnsAreAsWideAsTheirWidestCell() {
        var table = TextTable(["a", "bb", ""])
        table.add(["long", "", "x"])
        table.add(["", "", ""])
        table.add(["1", "2", ""])
        #expect(table.lines == ["a     bb", "────  ──  ─", "long      x", "", "1     2"])
    }

    /// One wide cell costs what it is long, and not once for each line.
    @Test func aWideCellMakesNoOtherLineLong() {
        var table = TextTable(["a", "b"])
        for number in 0..<1_000 { table.add(["\(number)", ""]) }
        table.add(["", String(repeating: "x", count: 100_000)])
        #expect(table.lines.reduce(0) { $0 + $1.count } < 210_000)
    }
}

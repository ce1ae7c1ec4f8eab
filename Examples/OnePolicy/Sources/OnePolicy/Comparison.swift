/// What differs between two columns, and why.
struct Comparison {
    /// One line of the script that two back ends answer differently.
    struct Difference {
        /// The line, from 1.
        let line: Int
        let columns: (String, String)
        /// The capabilities in which they differ, or the line that it follows from; `nil` where nothing explains it.
        let explanation: String?
    }

    let differences: [Difference]

    init(_ reference: Column, _ other: Column, _ script: [Question]) {
        var differences: [Difference] = []
        for (index, question) in script.enumerated() where reference.cells[index] != other.cells[index] {
            let named = question.reliesOn.sorted().filter { reference.capabilities[$0] != other.capabilities[$0] }
            var explanation: String?
            if !named.isEmpty {
                explanation = named.map {
                    "\($0): \(reference.capabilities[$0] ?? "none") / \(other.capabilities[$0] ?? "none")"
                }
                .joined(separator: "; ")
            } else if reference.cells[index].before != other.cells[index].before,
                let earlier = differences.last(where: { $0.explanation != nil })
            {
                explanation = "follows from line \(earlier.line): the pages were in other hands"
            }
            differences.append(
                Difference(line: index + 1, columns: (reference.name, other.name), explanation: explanation)
            )
        }
        self.differences = differences
    }
}

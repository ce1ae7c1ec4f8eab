import ArgumentParser
import CustodyProtocols

/// `custody explain`: what a protocol is, as its own step machine shows it.
struct ExplainCommand: ParsableCommand, RuledArguments {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Print the states, events, guards and results of a protocol, read off its step machine.",
        discussion: """
            Every event is carried out on a page in every state and under all circumstances that matter; nothing in the \
            table is written by hand.

            Protocols: \(HandoverProtocol.all.map(\.name).joined(separator: ", ")).
            """
    )

    @Argument(
        help: ArgumentHelp("The protocol.", valueName: "name"),
        completion: .list(HandoverProtocol.all.map(\.name)),
        transform: { name in
            guard let handover = HandoverProtocol.named(name) else {
                let known = HandoverProtocol.all.map(\.name).joined(separator: ", ")
                throw ValidationError("there is no such protocol (known: \(known))")
            }
            return handover
        }
    )
    var handover: HandoverProtocol

    @Flag(help: "Print the graph of states in the language of Graphviz.")
    var dot = false

    @Flag(help: "Draw the graph of states as SVG, with Graphviz's ‘dot’ (Debian package graphviz).")
    var svg = false

    @Flag(help: "Also list every step of the machine, with the code that it stands for.")
    var steps = false

    static let rules = [
        OptionRule("handover"), OptionRule("--dot", excludes: ["--svg", "--steps"]),
        OptionRule("--svg", excludes: ["--steps"]), OptionRule("--steps"),
    ]

    func run() throws {
        let description = ProtocolDescription(handover)
        if svg {
            try StandardOutput.write(try Graphviz.svg(description.dot))
        } else if dot {
            try print(description.dot)
        } else {
            try print("\(handover.name): \(handover.summary)\n\(handover.source)\n\n\(description.table)")
            if steps {
                var table = TextTable(["step", "what it does", "code"])
                for step in description.steps { table.add(["\(step)", step.text, step.source(in: handover)]) }
                try print("\n" + table.lines.joined(separator: "\n"))
            }
        }
    }
}

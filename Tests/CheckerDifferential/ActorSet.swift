public import CustodyChecker
public import CustodyProtocols

/// A set of actors and a beginning, as a command line of `custody check` names them: drawn by chance, and made smaller.
public struct ActorSet: Sendable, Hashable, CustomStringConvertible {
    /// The protocol.
    public var handover: HandoverProtocol
    /// The actors, each as a command line names it.
    public var actors: [String]
    /// How every place of the file is at the beginning.
    public var start: Configuration.InitialFolio
    /// How many folios the file has.
    public var folios: Int
    /// The size of a folio, in pages.
    public var pages: Int

    /// A set of `actors` on a file.
    public init(
        _ handover: HandoverProtocol,
        _ actors: [String],
        start: Configuration.InitialFolio,
        folios: Int = 1,
        pages: Int = 1
    ) {
        self.handover = handover
        self.actors = actors
        self.start = start
        self.folios = folios
        self.pages = pages
    }

    /// A set drawn by chance: one to four actors, up to two folios of up to two pages, any protocol and beginning.
    public init(using generator: inout some RandomNumberGenerator) {
        let handover = HandoverProtocol.all.randomElement(using: &generator) ?? .version5
        let start = Configuration.InitialFolio.allCases.randomElement(using: &generator) ?? .present
        let folios = Int.random(in: 0..<3, using: &generator) == 0 && start != .pending ? 2 : 1
        let pages = Int.random(in: 0..<3, using: &generator) == 0 ? 2 : 1
        let count = Int.random(in: 1...4, using: &generator)
        let actors = (0..<count).map { _ in ActorSet.actor(pages: folios * pages, using: &generator) }
        self.init(handover, actors, start: start, folios: folios, pages: pages)
    }

    private static func actor(pages: Int, using generator: inout some RandomNumberGenerator) -> String {
        let name = ActorName.allCases.randomElement(using: &generator) ?? .converter
        var text = name.rawValue
        if pages > 1, Bool.random(using: &generator) { text += "@\(Int.random(in: 0..<pages, using: &generator))" }
        if Int.random(in: 0..<3, using: &generator) == 0 {
            let words =
                name == .converter || name == .registrar
                ? ["leaves", "asks-again", "believes-registered"] : ["twice", "reads", "atomic", "space-1"]
            text += ":" + (words.randomElement(using: &generator) ?? "reads")
        }
        return text
    }

    /// What `custody check` would explore; nil where it would refuse.
    public var configuration: Configuration? {
        try? Configuration(handover, actors: actors, start: start, folios: folios, pagesPerFolio: pages)
    }

    /// Sets that are one thing smaller: an actor less, a word less, a folio or a page less.
    public var smaller: [ActorSet] {
        var sets: [ActorSet] = []
        for index in actors.indices {
            if actors.count > 1 {
                var set = self
                set.actors.remove(at: index)
                sets.append(set)
            }
            for mark in [":", "@"] {
                guard let place = actors[index].lastIndex(of: Character(mark)) else { continue }
                var set = self
                set.actors[index] = String(actors[index][..<place])
                sets.append(set)
            }
        }
        if folios > 1 {
            var set = self
            set.folios = 1
            sets.append(set)
        }
        if pages > 1 {
            var set = self
            set.pages = 1
            sets.append(set)
        }
        return sets
    }

    /// The command line.
    public var description: String {
        var words = ["custody check --protocol \(handover.name) --actors \(actors.joined(separator: ","))"]
        words.append("--start \(start.rawValue)")
        if folios != 1 { words.append("--folios \(folios)") }
        if pages != 1 { words.append("--pages \(pages)") }
        return words.joined(separator: " ")
    }
}

public import CustodyProtocols

extension Configuration {
    /// Why there is no configuration of actors given by name.
    public enum ActorError: Error, Equatable, Sendable {
        /// This actor is not known, or works on pages that are not there.
        case actor(String, ActorName.ParseError)
        /// There is no actor.
        case nobody
        /// The file has no folio, too many, or folios of a size that there is not.
        case size
        /// An actor holds a reference and there is no folio.
        case nothingToHold
        /// Nothing can be pending: that takes one folio, an actor that holds it, and a protocol that registers.
        case nothingPending
    }

    /// A configuration of `actors`, each as ``ActorName/operation(_:pages:)`` reads it, on a file of `folios` folios of
    /// `pagesPerFolio` pages (1, 2, 4 or 8), which all begin as `start`.
    public init(
        _ handover: HandoverProtocol,
        actors: [String],
        start: InitialFolio,
        folios: Int = 1,
        pagesPerFolio: Int = 1
    ) throws(ActorError) {
        guard [1, 2, 4, 8].contains(pagesPerFolio), folios > 0, folios < SmallWorld.maximumFolios,
            folios * pagesPerFolio <= SmallWorld.maximumPages
        else { throw .size }
        guard !actors.isEmpty else { throw .nobody }
        var operations: [Operation] = []
        for text in actors {
            do throws(ActorName.ParseError) {
                operations.append(try ActorName.operation(text, pages: folios * pagesPerFolio))
            } catch { throw .actor(text, error) }
        }
        let holds = operations.contains { $0.kind == .hold }
        if holds, start == .absent { throw .nothingToHold }
        if start == .pending, !holds || folios > 1 || handover.machine.isInPlace { throw .nothingPending }
        let allocates = operations.contains { $0.kind == .punchHole } || start == .absent
        self.init(
            actors.joined(separator: ","),
            handover,
            folios: Array(repeating: start, count: folios),
            pagesPerFolio: pagesPerFolio,
            spareFolios: allocates ? 1 : 0,
            addressSpaces: 1 + Int(operations.map(\.addressSpace).max() ?? 0),
            operations: operations
        )
    }
}

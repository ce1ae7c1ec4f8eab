public import CustodyProtocols

/// What is explored: a protocol, a small world to begin with, and the actors that are let loose on it.
public struct Configuration: Sendable {
    /// A name, for reports.
    public var name: String
    /// The protocol.
    public var handover: HandoverProtocol
    /// The pages of the file as they are at the beginning, one for every place a folio can have.
    public var folios: [InitialFolio]
    /// Size of a folio, in pages: 1, 2, 4 or 8; the file has at most `SmallWorld/maximumPages` pages.
    public var pagesPerFolio: Int
    /// Folios that can be allocated besides those that are there at the beginning.
    public var spareFolios: Int
    /// Host address spaces, 1 to 4.
    public var addressSpaces: Int
    /// What the actors do. For `gmem-custody` a completer is added.
    public var operations: [Operation]
    /// A defect planted on purpose, or nil.
    public var mutation: Mutation?

    /// How one place of the file is at the beginning.
    public enum InitialFolio: String, CaseIterable, Sendable {
        /// No memory.
        case absent
        /// Memory that is shared and not mapped.
        case present
        /// Memory that is shared and mapped in host address space 0.
        case mapped
        /// Memory that the guest owns privately.
        case ownedByGuest = "private"
        /// Memory on its way to private, registered; an operation that holds a reference keeps it there.
        case pending
    }

    /// A configuration.
    public init(
        _ name: String,
        _ handover: HandoverProtocol,
        folios: [InitialFolio] = [.present],
        pagesPerFolio: Int = 1,
        spareFolios: Int = 0,
        addressSpaces: Int = 1,
        operations: [Operation],
        mutation: Mutation? = nil
    ) {
        self.name = name
        self.handover = handover
        self.folios = folios
        self.pagesPerFolio = pagesPerFolio
        self.spareFolios = spareFolios
        self.addressSpaces = addressSpaces
        self.operations = operations
        self.mutation = mutation
    }

    /// The operations that are explored: those of the caller, and the completer if the protocol needs one.
    public var allOperations: [Operation] {
        handover.rules.finalPut == .queues ? operations + [Operation(.completer)] : operations
    }

    /// The world at the beginning, with one reference for every operation that holds one.
    public var initialWorld: SmallWorld {
        let pages = folios.count * pagesPerFolio
        var world = SmallWorld(
            pages: pages,
            pagesPerFolio: pagesPerFolio,
            folios: folios.count + spareFolios
        )
        for (place, folio) in folios.enumerated() {
            let first = place * pagesPerFolio
            for page in first..<(first + pagesPerFolio) {
                let offset = PageOffset(UInt64(page))
                if folio != .absent { world.populate(offset) }
                if folio == .mapped { world.mapIntoHost(offset, addressSpace: 0) }
                if folio == .ownedByGuest {
                    var state = world.page(offset)
                    state.mappability = .guest
                    world.setPage(offset, to: state)
                }
            }
        }
        for operation in operations where operation.kind == .hold { world.addReference(operation.start) }
        for (place, folio) in folios.enumerated() where folio == .pending {
            let first = PageOffset(UInt64(place * pagesPerFolio))
            guard let id = world.cachedFolio(at: first) else { continue }
            var state = world.folio(id)
            state.flags.insert(.guestmem)
            state.references -= Int32(pagesPerFolio)
            world.setFolio(id, to: state)
            for index in first.rawValue..<(first.rawValue + UInt64(pagesPerFolio)) {
                var page = world.page(PageOffset(index))
                page.mappability = .none
                world.setPage(PageOffset(index), to: page)
            }
        }
        return world
    }
}

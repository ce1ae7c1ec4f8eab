/// The circumstances under which an event happens to a page: what the guards of a table speak about.
struct Circumstance: Hashable, Sendable {
    /// Whether the page cache holds a folio for the page.
    var hasFolio: Bool
    /// Whether a host mapping of the page exists.
    var isMapped: Bool
    /// References of others, besides the file's and those of mappings.
    var holders: Int

    /// All circumstances that `state` can be in.
    static func all(in state: DescribedState) -> [Circumstance] {
        let withFolio = [false, true].flatMap { isMapped in
            (0...2).map { Circumstance(hasFolio: true, isMapped: isMapped, holders: $0) }
        }
        let without = Circumstance(hasFolio: false, isMapped: false, holders: 0)
        switch state {
        case .all: return [without] + withFolio
        case .none: return withFolio
        case .guest: return [without] + withFolio.filter { !$0.isMapped }
        case .pending: return withFolio.filter { !$0.isMapped && $0.holders > 0 }
        }
    }

    /// What a guard can say, from the plainest to the most particular.
    static let guards: [(text: String, holds: @Sendable (Circumstance) -> Bool)] = [
        ("–", { _ in true }),
        ("no folio at index", { !$0.hasFolio }),
        ("a folio at index", { $0.hasFolio }),
        ("folio_mapped()", { $0.isMapped }),
        ("refcount ≤ nr_pages+1", { $0.hasFolio && !$0.isMapped && $0.holders == 0 }),
        ("refcount > nr_pages+1", { $0.hasFolio && ($0.isMapped || $0.holders > 0) }),
        ("no folio at index, or refcount ≤ nr_pages+1", { !$0.isMapped && $0.holders == 0 }),
        ("not mapped, refs − nr_pages == 1", { $0.hasFolio && !$0.isMapped && $0.holders == 0 }),
        ("not mapped, refs − nr_pages > 1", { $0.hasFolio && !$0.isMapped && $0.holders > 0 }),
        ("no other reference than mappings", { $0.holders == 0 }),
        ("other references than mappings", { $0.holders > 0 }),
        ("last reference", { !$0.isMapped && $0.holders == 1 }),
        ("not the last reference", { $0.isMapped || $0.holders > 1 }),
        ("not mapped", { !$0.isMapped }),
        ("a folio at index, not mapped", { $0.hasFolio && !$0.isMapped }),
    ]

    /// A world with one page in `state` under these circumstances.
    func world(_ state: DescribedState, pagesPerFolio: Int) -> SmallWorld {
        var world = SmallWorld(pages: pagesPerFolio, pagesPerFolio: pagesPerFolio, folios: 2)
        let page = PageOffset(0)
        if hasFolio { world.populate(page) }
        if isMapped { world.mapIntoHost(page, addressSpace: 0) }
        for _ in 0..<holders { world.addReference(page) }
        for index in 0..<world.pageCount {
            var entry = world.page(PageOffset(index))
            switch state {
            case .all: entry.mappability = .all
            case .guest: entry.mappability = .guest
            case .none, .pending: entry.mappability = .none
            }
            world.setPage(PageOffset(index), to: entry)
        }
        if state == .pending, let folio = world.cachedFolio(at: page) {
            var entry = world.folio(folio)
            entry.flags.insert(.guestmem)
            entry.references -= Int32(pagesPerFolio)
            world.setFolio(folio, to: entry)
        }
        return world
    }
}

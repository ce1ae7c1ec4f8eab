extension FolioWorld {
    /// The first page of the folio that would back `offset`.
    @inlinable
    public func folioStart(of offset: PageOffset) -> PageOffset {
        PageOffset(offset.rawValue & ~(pagesPerFolio &- 1))
    }
}

extension FolioWorld where Page == PageState, Folio == FolioState {
    /// Puts a new folio into the page cache as an access would: `pagesPerFolio` references of the cache, zeroed,
    /// unlocked. Returns it, or the one that is there already, or nil if memory is exhausted. For setting up a world.
    @discardableResult
    public mutating func populate(_ offset: PageOffset) -> FolioID? {
        if let there = cachedFolio(at: offset) { return there }
        guard let id = unusedFolio() else { return nil }
        let start = folioStart(of: offset)
        setFolio(
            id,
            to: FolioState(
                references: Int32(truncatingIfNeeded: pagesPerFolio),
                flags: [.allocated, .cached, .upToDate],
                index: start
            )
        )
        setCachedFolio(id, at: start)
        return id
    }

    /// Maps a page that has a folio into a host address space, with the reference that goes with it. For setting up a
    /// world. Does nothing if the page has no folio or is mapped there.
    public mutating func mapIntoHost(_ offset: PageOffset, addressSpace: UInt8) {
        guard let id = cachedFolio(at: offset) else { return }
        var state = page(offset)
        let bit: UInt8 = 1 &<< (addressSpace & 7)
        guard state.hostMappings & bit == 0 else { return }
        state.hostMappings |= bit
        setPage(offset, to: state)
        var owner = folio(id)
        owner.references &+= 1
        owner.mappings &+= 1
        setFolio(id, to: owner)
    }

    /// Adds one reference to the folio of a page, as a holder takes it, and returns the folio. For setting up a world.
    @discardableResult
    public mutating func addReference(_ offset: PageOffset) -> FolioID? {
        guard let id = cachedFolio(at: offset) else { return nil }
        var state = folio(id)
        state.references &+= 1
        setFolio(id, to: state)
        return id
    }
}

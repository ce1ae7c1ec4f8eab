import Custody

/// The memory slots of a guest, and what is to be kept in mind about its files.
struct SlotLedger: Sendable {
    /// A part of a file that ought to be empty, but whose pages the kernel did not drop.
    struct Residue: Sendable, Hashable {
        let visibility: Visibility
        let range: PageRange
    }

    /// The slots.
    var slots: SlotMap
    /// Parts of files to be emptied before they are used again.
    var residues: [Residue] = []
    /// Memory beside the guest's RAM.
    var readOnly: [ReadOnlyMemory] = []
    /// Where there is such memory, or will be in a moment.
    var readOnlyPlaces: [PageRange] = []
    /// Whether RAM has been taken out of the machine, or is about to be: no slot is made from then on.
    var isClosed = false
    /// The slots that changes hold which are planned, or made and not final.
    var reserved = 0

    private let limit: Int

    /// A ledger that prepares changes up to so many slots.
    init(slots: SlotMap, limit: Int) {
        self.slots = slots
        self.limit = limit
    }

    /// Whether so many slots more can be had, beside those that others hold; `held` are the caller's own.
    func hasRoom(for growth: Int, holding held: Int = 0) -> Bool {
        growth <= held || slots.slotCount + reserved - held + growth <= limit
    }
}

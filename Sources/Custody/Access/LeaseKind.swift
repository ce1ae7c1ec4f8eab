/// How a lease of the host stands in the way of a hand-over.
public enum LeaseKind: String, Sendable, Hashable, CaseIterable, Codable {
    /// A standing mapping that new accesses can come through: a hand-over is refused while it exists, as with a mapped
    /// folio. It must be given up first.
    case mapping
    /// A reference that will be dropped in its own time: DMA in flight, pages pinned for a queue. A hand-over becomes
    /// pending and completes with the last one.
    case pin
    /// One copy in or out, over in a moment. A hand-over waits for it as for a pin.
    case access
}

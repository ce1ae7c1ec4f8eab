/// The name of a folio: of the physical memory, not of the place in the file that it backs.
///
/// A folio keeps its name when it is truncated from the file while somebody still refers to it.
@frozen
public struct FolioID: RawRepresentable, Hashable, Sendable {
    /// The number of the folio in its world.
    public var rawValue: UInt32

    /// The folio with number `rawValue`.
    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The folio with number `number`.
    @inlinable
    public init(_ number: UInt32) { rawValue = number }
}

/// A back end's ability to tell how much of the host's memory is behind pages.
public protocol MemoryMeter: Sendable {
    /// The bytes of memory behind the pages, whoever owns them: none where nobody has touched them yet, or where they have
    /// gone back to the host.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/invalidArgument`` for pages that are not RAM, or what the system
    ///   says.
    func backedBytes(of range: PageRange) throws(BackendError) -> UInt64
}

/// A back end's ability to give pages their memory ahead of their first use.
public protocol MemoryPopulator: Sendable {
    /// Gives every page of `range` its memory, where its owner finds it; contents and ownership stay. Pages that have
    /// theirs already are left alone.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/resourcesExhausted`` where there is no memory left, or what
    ///   the back end reports; its range begins with the first page that may not have its memory.
    func populate(_ range: PageRange) throws(BackendError)
}

/// Processes beside this one that reach for the guest's memory as any process may: what scenarios and tests drive.
///
/// Each has a name, and is there from its first mapping until it lets go. It knows nothing of this package.
public protocol Neighbours: Sendable {
    /// Has a process map pages, shared and writable. It has one mapping at a time.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/accessDenied`` where the process cannot open the memory.
    func map(_ range: PageRange, as name: String) throws(BackendError)

    /// Has a process load bytes through its mapping.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/invalidArgument`` for bytes beyond the mapping.
    func read(_ count: Int, from address: GuestPhysicalAddress, as name: String) throws(BackendError) -> [UInt8]

    /// Has a process store bytes through its mapping.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/invalidArgument`` for bytes beyond the mapping.
    func write(_ bytes: [UInt8], to address: GuestPhysicalAddress, as name: String) throws(BackendError)

    /// Has a process give its mapping up, and end.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/invalidArgument`` where there is none of this name.
    func release(as name: String) throws(BackendError)
}

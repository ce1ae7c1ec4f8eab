public import Custody

/// Where this process has a region of the guest's RAM: what a monitor's own pointers and devices find.
///
/// It is the guest's memory for shared pages. What a pointer finds on a page that has become private is the mode's affair: in
/// ``KVMMode/dual`` and ``KVMMode/attributes`` another memory, in which a write is lost, in ``KVMMode/inPlace`` SIGBUS, in
/// ``KVMMode/revoked`` SIGSEGV. A lease of the controller's keeps pages from becoming private.
public struct HostMapping: Sendable, Hashable {
    /// The region.
    public let range: PageRange
    /// The address of its first byte in this process.
    public let address: UInt
    /// The file that it is a mapping of, for as long as the back end is there; `nil` for memory of this process alone.
    public let descriptor: Int32?
    /// The offset of its first byte in the file, in bytes.
    public let offset: UInt64
}

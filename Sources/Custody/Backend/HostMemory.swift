/// The host's way to the guest's bytes.
///
/// The bytes are copied, never lent: a page that the kernel takes away while it is being read is an error, not a signal.
/// Neither call asks who owns the page: that is what leases are for. What stops an access here is the back end's
/// enforcement alone.
public protocol HostMemory: Sendable {
    /// Copies bytes of the guest into `bytes`, filling it.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/accessDenied`` where a page may not be read, or
    ///   ``BackendError/Code/invalidArgument`` outside the guest's RAM. Part of `bytes` may then have been filled.
    func read(_ bytes: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError)

    /// Copies `bytes` into the guest.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/accessDenied`` where a page may not be written, or
    ///   ``BackendError/Code/invalidArgument`` outside the guest's RAM. Pages before the one in question may then have
    ///   been written.
    func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError)
}

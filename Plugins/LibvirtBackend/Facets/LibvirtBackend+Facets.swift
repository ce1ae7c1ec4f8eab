#if Libvirt
public import Custody

// What the domain can do beside its modules.
extension LibvirtBackend {
    /// What the domain can do beside whole regions, as it is now. Facets go by the connection that there is at the moment:
    /// after one was lost they are to be asked for again. It blocks.
    ///
    /// - Throws: `BackendError` with code `lost` where the domain does not run.
    public func facets() throws(BackendError) -> DomainFacets {
        try domain.withLink { domain, connection throws(BackendError) in try DomainFacets(of: domain, on: connection) }
    }

    /// Makes a window of zeroes, and gives it to the guest. It blocks.
    ///
    /// - Parameters:
    ///   - name: letters, digits, `.`, `-` and `_`, the first one a letter or a digit; nobody on the machine may have a window
    ///     of that name.
    ///   - byteCount: a power of two from 1 MiB on.
    ///   - isSealable: whether the contents can be fixed for good when it is back.
    /// - Throws: `BackendError`; there is no window then, unless its code is `lost`.
    public func makeSharedWindow(
        _ name: String,
        byteCount: UInt64,
        isSealable: Bool = false
    ) throws(BackendError) -> SharedWindow {
        try domain.withLink { domain, connection throws(BackendError) in
            try SharedWindow.make(name, byteCount: byteCount, isSealable: isSealable, for: domain, on: connection)
        }
    }

    /// Finds a window that was made before, by this process or another one. It blocks.
    ///
    /// - Throws: `BackendError` with code `unavailable` where there is none of that name.
    public func sharedWindow(_ name: String) throws(BackendError) -> SharedWindow {
        try domain.withLink { domain, connection throws(BackendError) in
            try SharedWindow.find(name, in: domain, on: connection)
        }
    }
}

#endif

#if Libvirt
public import Custody

extension LibvirtBackend {
    /// What the domain can do beside its modules, as it is now. Facets go by the connection that there is at the moment:
    /// after one was lost they are to be asked for again.
    ///
    /// - Throws: `BackendError` with code `lost` where the domain does not run.
    public func facets() throws(BackendError) -> DomainFacets { try domain.facets() }
}

#endif

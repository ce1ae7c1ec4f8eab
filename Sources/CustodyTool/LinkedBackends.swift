import Custody
import SimulationBackend

#if KVM
    import KVMBackend
#endif
#if Libvirt
    import LibvirtBackend
#endif

extension BackendRegistry {
    /// The back ends that this tool was built with.
    static var linked: BackendRegistry {
        var registry = BackendRegistry([SimulationProvider()])
        #if KVM
            registry.register(KVMBackendProvider())
        #endif
        #if Libvirt
            registry.register(LibvirtProvider())
        #endif
        return registry
    }
}

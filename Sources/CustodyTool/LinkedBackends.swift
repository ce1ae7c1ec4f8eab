import Custody
import CustodyOptions
import KVMBackend
import SimulationBackend

#if Libvirt
    import LibvirtBackend
#endif

extension BackendRegistry {
    /// The back ends that this tool was built with.
    static var linked: BackendRegistry {
        var providers: [any BackendProvider] = [SimulationProvider(), KVMBackendProvider()]
        #if Libvirt
            // What libvirt has to say is in the errors.
            LibvirtProvider.silenceLibrary()
            providers.append(LibvirtProvider())
        #endif
        return BackendRegistry(providers)
    }
}

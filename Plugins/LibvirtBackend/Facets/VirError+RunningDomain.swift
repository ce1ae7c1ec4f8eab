#if Libvirt
import Custody

extension VirError {
    /// The error as a facet reports it: what is not possible in a domain's state is not because it does not run any more.
    func ofRunningDomain(_ message: String) -> BackendError {
        guard code == .operationInvalid else { return asBackendError(message) }
        return BackendError(.lost, message, cause: self)
    }
}

extension Domain {
    /// Whether it does not run any more, or is gone altogether.
    func hasEnded() throws(VirError) -> Bool {
        do throws(VirError) { return try !isActive() } catch {
            guard error.code == .noDomain else { throw error }
            return true
        }
    }
}

#endif

import Custody
import CustodyOptions

/// Makes back ends of the kind `plain`, which have no options.
struct PlainProvider: BackendProvider {
    let name = "plain"
    let summary = "a guest in an array of bytes"
    var options: Format<Void> { .settings(of: {}, []) }

    init() {}

    func probe() -> [BackendProbe] { [BackendProbe(backend: name, capabilities: PlainBackend.capabilities)] }

    func makeBackend(
        for guest: GuestConfiguration,
        options: Void
    ) throws(BackendCreationError) -> any MemoryBackend {
        do throws(BackendError) { return try PlainBackend(guest) } catch { throw .backend(error) }
    }
}

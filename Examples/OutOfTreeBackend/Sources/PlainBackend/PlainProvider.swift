public import Custody
public import CustodyOptions

/// Makes back ends of the kind `plain`, which have no options.
public struct PlainProvider: BackendProvider {
    public let name = "plain"
    public let summary = "a guest in an array of bytes"
    public var options: Format<Void> { .settings(of: {}, []) }

    public init() {}

    public func probe() -> [BackendProbe] { [BackendProbe(backend: name, capabilities: PlainBackend.capabilities)] }

    public func makeBackend(
        for guest: GuestConfiguration,
        options: Void
    ) throws(BackendCreationError) -> any MemoryBackend {
        do throws(BackendError) { return try PlainBackend(guest) } catch { throw .backend(error) }
    }
}

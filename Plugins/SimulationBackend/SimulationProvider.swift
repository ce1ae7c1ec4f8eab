public import Custody
public import CustodyOptions

/// Makes simulated guests. Always available, and never chosen unless it is named.
public struct SimulationProvider: BackendProvider {
    /// The name that a configuration uses.
    public let name = "simulation"
    /// What it is.
    public let summary = "a guest in this process: real bytes, virtual time, no hypervisor"

    /// The provider.
    public init() {}

    /// Reports the capabilities of a simulation with default options.
    public func probe() -> [BackendProbe] {
        [
            BackendProbe(
                backend: name,
                capabilities: SimulationBackend.capabilities(SimulationOptions(), granularity: .base)
            )
        ]
    }

    /// What its section of a configuration may be.
    public var options: Format<SimulationOptions> { SimulationOptions.format }

    /// Makes a simulated guest.
    ///
    /// - Throws: `BackendCreationError` for a guest larger than the capabilities say.
    public func makeBackend(
        for guest: GuestConfiguration,
        options: SimulationOptions
    ) throws(BackendCreationError) -> any MemoryBackend {
        guard guest.layout.pageCount <= SimulationBackend.maximumGuestBytes / PageSize.base.bytes else {
            let largest = ByteCount(SimulationBackend.maximumGuestBytes)
            throw .backend(BackendError(.unsupported, "the largest guest of the simulation has \(largest)"))
        }
        return SimulationBackend(guest: guest, options: options)
    }
}

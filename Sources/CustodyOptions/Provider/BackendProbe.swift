public import Custody

/// What a look at the machine says about one way to run guests.
public struct BackendProbe: Sendable {
    /// The back end's name.
    public let backend: String
    /// The mode of the back end, where it has several.
    public let mode: String?
    /// Why it cannot be used here, or `nil` where it can.
    public let unavailable: BackendError?
    /// What it can do, or could do where it is not available.
    public let capabilities: Capabilities
    /// What a user should know before relying on it, for example that it has never met the hardware it is for.
    public let remarks: [String]

    /// Describes what was found.
    public init(
        backend: String,
        mode: String? = nil,
        unavailable: BackendError? = nil,
        capabilities: Capabilities,
        remarks: [String] = []
    ) {
        self.backend = backend
        self.mode = mode
        self.unavailable = unavailable
        self.capabilities = capabilities
        self.remarks = remarks
    }
}

public import Custody

/// Why a back end that was asked for by name is not there.
public enum BackendCreationError: Error, Sendable {
    /// Its section of the configuration is wrong.
    case configuration(ConfigurationError)
    /// It cannot be had on this machine, or not as it was asked for.
    case backend(BackendError)
}

extension BackendCreationError: CustomStringConvertible {
    /// What the cause says of itself.
    public var description: String {
        switch self {
        case .configuration(let error): "\(error)"
        case .backend(let error): "\(error)"
        }
    }
}

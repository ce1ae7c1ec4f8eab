#if Libvirt
import CLibvirt
import Custody

/// An error of libvirt: what `virGetLastError` says on the thread of the call that failed.
public struct VirError: Error, Sendable, Hashable {
    /// What went wrong: a `virErrorNumber`. Libvirt adds new ones; switch with a default.
    public struct Code: RawRepresentable, Sendable, Hashable {
        /// Libvirt's number.
        public let rawValue: Int32

        /// A code with libvirt's number.
        public init(rawValue: Int32) { self.rawValue = rawValue }

        /// `VIR_ERR_INTERNAL_ERROR`: QEMU refused a command, or the connection to a daemon is gone.
        public static let internalError = Code(rawValue: 1)
        /// `VIR_ERR_NO_SUPPORT`: the driver has no such call.
        public static let noSupport = Code(rawValue: 3)
        /// `VIR_ERR_NO_CONNECT`: no driver takes the URI.
        public static let noConnect = Code(rawValue: 5)
        /// `VIR_ERR_INVALID_ARG`: an argument is not accepted.
        public static let invalidArgument = Code(rawValue: 8)
        /// `VIR_ERR_OPERATION_FAILED`: among others, a guest has refused to give a device up.
        public static let operationFailed = Code(rawValue: 9)
        /// `VIR_ERR_XML_ERROR`: a description is not well-formed or lacks something.
        public static let xmlError = Code(rawValue: 27)
        /// `VIR_ERR_XML_DETAIL`: a description has a value that is not accepted.
        public static let xmlDetail = Code(rawValue: 35)
        /// `VIR_ERR_SYSTEM_ERROR`: a system call failed; ``VirError/int1`` is its errno.
        public static let systemError = Code(rawValue: 38)
        /// `VIR_ERR_NO_DOMAIN`: there is no such domain.
        public static let noDomain = Code(rawValue: 42)
        /// `VIR_ERR_OPERATION_INVALID`: not in this state of the domain.
        public static let operationInvalid = Code(rawValue: 55)
        /// `VIR_ERR_CONFIG_UNSUPPORTED`: the configuration cannot be had: overlap, no slot, no capacity.
        public static let configUnsupported = Code(rawValue: 67)
        /// `VIR_ERR_OPERATION_TIMEOUT`: a job of the domain could not be begun in time.
        public static let operationTimeout = Code(rawValue: 68)
        /// `VIR_ERR_DEVICE_MISSING`: the domain has no such device.
        public static let deviceMissing = Code(rawValue: 99)
    }

    /// What went wrong.
    public let code: Code
    /// The part of libvirt that says so: a `virErrorDomain`.
    public let domain: Int32
    /// How bad it is: a `virErrorLevel`, 2 for an error.
    public let level: Int32
    /// Libvirt's sentence.
    public let message: String
    /// A number that belongs to the message; for ``Code/systemError`` an errno.
    public let int1: Int32
    /// The function that failed.
    public let call: String

    /// Describes an error.
    init(code: Code, domain: Int32 = 0, level: Int32 = 2, message: String, int1: Int32 = 0, call: LibvirtCall) {
        self.code = code
        self.domain = domain
        self.level = level
        self.message = message
        self.int1 = int1
        self.call = call.rawValue
    }

    /// The last error of this thread. Must be read on the thread of the call, before any other call.
    init(last call: LibvirtCall) {
        guard let error = unsafe virGetLastError(), unsafe error.pointee.code != 0 else {
            self.init(code: .internalError, message: "the call failed and did not say why", call: call)
            return
        }
        self.init(
            code: Code(rawValue: unsafe error.pointee.code),
            domain: unsafe error.pointee.domain,
            level: Int32(unsafe error.pointee.level.rawValue),
            message: unsafe error.pointee.message.map { unsafe String(cString: $0) } ?? "no message",
            int1: unsafe error.pointee.int1,
            call: call
        )
        virResetLastError()
    }

    /// What libvirt says cannot be held against what there is: a system call failed.
    init(unseen error: HostError) {
        self.init(code: .systemError, message: "\(error)", int1: error.errno, call: .state)
    }

    /// An error that a test wanted.
    init(injected code: Int32, _ call: LibvirtCall) {
        self.init(code: Code(rawValue: code), message: "injected", int1: code == 38 ? 5 : 0, call: call)
    }
}

extension VirError: CustomStringConvertible {
    /// Function, message, code and part in one line.
    public var description: String { "\(call): \(message) (libvirt error \(code.rawValue), domain \(domain))" }
}

extension VirError {
    /// Whether the domain is gone, or the connection by which it could be reached: what its state is cannot be known.
    var isLoss: Bool {
        switch code {
        case .noDomain: true
        case .systemError: message.contains("monitor")
        case .internalError: domain == VirError.remoteDomain || message.contains("monitor")
        default: false
        }
    }

    /// `VIR_FROM_RPC`: the connection to a daemon.
    static let remoteDomain: Int32 = 7

    /// The error as a back end reports it.
    func asBackendError(_ message: String, range: PageRange? = nil) -> BackendError {
        let code: BackendError.Code =
            switch self.code {
            case _ where isLoss: .lost
            case .noSupport: .unsupported
            case .invalidArgument, .xmlError, .xmlDetail: .invalidArgument
            case .configUnsupported, .operationTimeout: .resourcesExhausted
            default: .system
            }
        return BackendError(code, message, range: range, cause: self)
    }
}

#endif

/// What the kernel returns: an error number, or the result of a host fault.
@frozen
public enum KernelResult: UInt8, CaseIterable, Sendable {
    /// 0, or `VM_FAULT_LOCKED` for a host fault that mapped the page.
    case success
    /// `-EAGAIN`.
    case tryAgain
    /// `-ENOENT`: the page has no folio.
    case noEntry
    /// `-EINVAL`.
    case invalid
    /// `-ENOMEM`, or `VM_FAULT_OOM`.
    case noMemory
    /// `-EFAULT`: no mapping to work through.
    case fault
    /// `-EHWPOISON`, or `VM_FAULT_HWPOISON`.
    case poisoned
    /// `VM_FAULT_SIGBUS`: the host must not touch the page.
    case busError
    /// `-EBUSY`: somebody else has the lock.
    case busy
    /// `-EINPROGRESS`: registered, will complete by itself (`gmem-custody` only).
    case inProgress

    /// The name as the kernel writes it.
    public var name: String {
        switch self {
        case .success: "0"
        case .tryAgain: "-EAGAIN"
        case .noEntry: "-ENOENT"
        case .invalid: "-EINVAL"
        case .noMemory: "-ENOMEM"
        case .fault: "-EFAULT"
        case .poisoned: "-EHWPOISON"
        case .busError: "SIGBUS"
        case .busy: "-EBUSY"
        case .inProgress: "-EINPROGRESS"
        }
    }
}

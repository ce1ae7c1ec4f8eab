import CKVM
import SystemPackage

/// Why `KVM_RUN` came back.
package enum ProcessorExit: Sendable, Hashable {
    /// Port input or output.
    case io(port: UInt16, isOutput: Bool, size: Int, count: Int)
    /// An access where no memory slot is.
    case mmio(address: UInt64, length: Int, isWrite: Bool)
    /// A hypercall that was asked to be passed on.
    case hypercall(number: UInt64, arguments: [UInt64])
    /// An access that KVM could not give memory to.
    case memoryFault(address: UInt64, size: UInt64, isPrivate: Bool)
    /// The guest halted.
    case halt
    /// The guest triple-faulted.
    case shutdown
    /// The hardware refused to enter the guest.
    case failedEntry(reason: UInt64)
    /// KVM gave up.
    case internalError(code: UInt32)
    /// The guest asked for a reset or power-off.
    case systemEvent(type: UInt32)
    /// A signal, or somebody wants this processor out of the guest.
    case interrupted
    /// A reason that this version does not know.
    case unknown(UInt32)

    /// Reads the exit from the shared page after `KVM_RUN` ended with `errno`, or without an error.
    @unsafe init(run: UnsafeRawPointer, errno: Errno?) throws(Errno) {
        let reason = unsafe Int(ckvm_run_exit_reason(run))
        switch errno {
        case .interrupted?, .resourceTemporarilyUnavailable?:
            self = .interrupted
            return
        case let errno?:
            // EFAULT and EHWPOISON come with an exit reason all the same.
            guard reason == CKVM_EXIT_MEMORY_FAULT, errno == .badAddress || errno.rawValue == CInt(CKVM_EHWPOISON)
            else { throw errno }
        case nil: break
        }
        switch reason {
        case CKVM_EXIT_IO:
            let io = unsafe ckvm_run_io(run)
            self = .io(port: io.port, isOutput: io.is_out != 0, size: Int(io.size), count: Int(io.count))
        case CKVM_EXIT_MMIO:
            let mmio = unsafe ckvm_run_mmio(run)
            self = .mmio(address: mmio.physical_address, length: Int(mmio.length), isWrite: mmio.is_write != 0)
        case CKVM_EXIT_HYPERCALL:
            let call = unsafe ckvm_run_hypercall(run)
            let (a, b, c, d, e, f) = call.arguments
            self = .hypercall(number: call.number, arguments: [a, b, c, d, e, f])
        case CKVM_EXIT_MEMORY_FAULT:
            let fault = unsafe ckvm_run_memory_fault(run)
            self = .memoryFault(
                address: fault.gpa,
                size: fault.size,
                isPrivate: fault.flags & UInt64(CKVM_MEMORY_EXIT_PRIVATE) != 0
            )
        case CKVM_EXIT_HLT: self = .halt
        case CKVM_EXIT_SHUTDOWN: self = .shutdown
        case CKVM_EXIT_FAIL_ENTRY: self = .failedEntry(reason: unsafe ckvm_run_fail_entry_reason(run))
        case CKVM_EXIT_INTR: self = .interrupted
        case CKVM_EXIT_INTERNAL_ERROR: self = .internalError(code: unsafe ckvm_run_internal_suberror(run))
        case CKVM_EXIT_SYSTEM_EVENT: self = .systemEvent(type: unsafe ckvm_run_system_event_type(run))
        default: self = .unknown(UInt32(clamping: reason))
        }
    }
}

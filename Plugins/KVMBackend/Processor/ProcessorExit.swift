import CKVM
public import Custody
import SystemPackage

/// Why a virtual processor came out of the guest, with the details that the reason has.
///
/// What is asked for in an exit (the value of a port, of a register) is answered by a ``ProcessorExitHandler``.
public enum ProcessorExit: Sendable, Hashable {
    /// Port input or output.
    case io(PortAccess)
    /// An access where no memory slot is, or a write to one that is read-only.
    case mmio(MMIOAccess)
    /// A hypercall that was asked to be passed on.
    case hypercall(Hypercall)
    /// A read of a model-specific register that was asked to be passed on.
    case readMSR(MSRAccess)
    /// A write to a model-specific register that was asked to be passed on.
    case writeMSR(MSRAccess)
    /// An access that KVM could not give memory to: the guest used as private what is shared, or the other way round.
    case memoryFault(MemoryFault)
    /// The processor's ring of dirty pages is full; KVM goes on when it has been collected.
    case dirtyRingFull
    /// The guest halted.
    case halt
    /// The guest triple-faulted.
    case shutdown
    /// The hardware refused to enter the guest, on this processor of the host.
    case failedEntry(reason: UInt64, hostProcessor: UInt32)
    /// KVM gave up.
    case internalError(InternalError)
    /// The guest asked for a reset, a power-off or the like.
    case systemEvent(SystemEvent)
    /// A breakpoint or a single step, where debugging was turned on.
    case debug(DebugStop)
    /// An exception of the guest's.
    case exception(number: UInt32, errorCode: UInt32)
    /// The guest can take an interrupt now, where that was asked for.
    case interruptWindowOpen
    /// A signal, or somebody wants this processor out of the guest.
    case interrupted
    /// The guest changed its task priority; the new one is in CR8.
    case setTaskPriority
    /// The guest touched its task priority register, where that was asked for.
    case taskPriorityAccess(instruction: UInt64, isWrite: Bool)
    /// The guest ended an interrupt of a vector that the I/O interrupt controller of this process owns.
    case endOfInterrupt(vector: UInt8)
    /// A call or a register of Hyper-V's interface, by its type.
    case hyperV(type: UInt32)
    /// A call of Xen's interface, by its type.
    case xen(type: UInt32)
    /// An encrypted guest's processor waits to be started.
    case processorResetHold
    /// The guest locked the bus.
    case busLock
    /// The guest kept the processor from taking events for longer than was allowed.
    case notify(isContextInvalid: Bool)
    /// A TDX guest's call, by its number.
    case tdx(number: UInt64, flags: UInt64)
    /// An SNP guest asks for the certificates of its attestation report.
    case certificateRequest(address: GuestPhysicalAddress, pages: UInt64)
    /// The hardware left the guest for a reason that KVM does not know, by the hardware's number.
    case hardware(reason: UInt64)
    /// A reason of another architecture's, which means nothing here.
    case foreign(ProcessorExitReason)
    /// A reason that this version does not know, by its number.
    case unknown(UInt32)

    /// Port input or output: `count` values of `size` bytes each, one after the other, by one instruction.
    public struct PortAccess: Sendable, Hashable {
        /// The port.
        public let port: UInt16
        /// Whether the guest writes.
        public let isOutput: Bool
        /// The size of a value in bytes: 1, 2 or 4.
        public let size: Int
        /// The number of values: more than one for a string instruction.
        public let count: Int

        /// Describes an access.
        public init(port: UInt16, isOutput: Bool, size: Int, count: Int) {
            self.port = port
            self.isOutput = isOutput
            self.size = size
            self.count = count
        }
    }

    /// An access to guest-physical memory that is not there.
    public struct MMIOAccess: Sendable, Hashable {
        /// The address.
        public let address: GuestPhysicalAddress
        /// The number of bytes, 1 to 8. An instruction that moves more makes several exits.
        public let length: Int
        /// What the guest writes, little-endian; `nil` for a read.
        public let value: UInt64?

        /// Describes an access.
        public init(address: GuestPhysicalAddress, length: Int, value: UInt64? = nil) {
            self.address = address
            self.length = length
            self.value = value
        }

        /// Whether the guest writes.
        public var isWrite: Bool { value != nil }
    }

    /// An access to a model-specific register.
    public struct MSRAccess: Sendable, Hashable {
        /// The register.
        public let index: UInt32
        /// What the guest writes; `nil` for a read.
        public let value: UInt64?
        /// Why it was passed on: the bits of `KVM_MSR_EXIT_REASON_…` (1: not valid, 2: not known, 4: filtered).
        public let reason: UInt32

        /// Describes an access.
        public init(index: UInt32, value: UInt64?, reason: UInt32) {
            self.index = index
            self.value = value
            self.reason = reason
        }
    }

    /// An access that KVM could not give memory to.
    public struct MemoryFault: Sendable, Hashable {
        /// The first byte.
        public let address: GuestPhysicalAddress
        /// The number of bytes.
        public let size: UInt64
        /// Whether the guest used the memory as private.
        public let isPrivate: Bool

        /// Describes a fault.
        public init(address: GuestPhysicalAddress, size: UInt64, isPrivate: Bool) {
            self.address = address
            self.size = size
            self.isPrivate = isPrivate
        }

        /// The fields of `kvm_run.memory_fault`, where a monitor has a loop of its own.
        public init(flags: UInt64, address: UInt64, size: UInt64) {
            self.init(
                address: GuestPhysicalAddress(address),
                size: size,
                isPrivate: flags & UInt64(CKVM_MEMORY_EXIT_PRIVATE) != 0
            )
        }

        /// The conversion that the access asks for, as the policy layer takes it.
        public func request(from processor: Int) -> GuestRequest {
            GuestRequest(
                processor: processor,
                address: address.rawValue,
                byteCount: size,
                target: isPrivate ? .private : .shared
            )
        }
    }

    /// Why KVM gave up.
    public struct InternalError: Sendable, Hashable {
        /// The kind of error.
        public struct Code: RawRepresentable, Sendable, Hashable {
            /// KVM's number.
            public let rawValue: UInt32

            /// A code of KVM's number.
            public init(rawValue: UInt32) { self.rawValue = rawValue }

            /// An instruction could not be emulated.
            public static let emulation = Code(rawValue: 1)
            /// Two exceptions at once that cannot be.
            public static let simultaneousExceptions = Code(rawValue: 2)
            /// An exit while an event was being delivered.
            public static let eventDelivery = Code(rawValue: 3)
            /// A reason of the hardware's that should not be.
            public static let unexpectedExit = Code(rawValue: 4)
        }

        /// The kind of error.
        public let code: Code
        /// What KVM says beside it; for people.
        public let data: [UInt64]

        /// Describes an error.
        public init(code: Code, data: [UInt64] = []) {
            self.code = code
            self.data = data
        }
    }

    /// What the guest asked of the machine.
    public struct SystemEvent: Sendable, Hashable {
        /// The kind of event.
        public struct Kind: RawRepresentable, Sendable, Hashable {
            /// KVM's number.
            public let rawValue: UInt32

            /// A kind of KVM's number.
            public init(rawValue: UInt32) { self.rawValue = rawValue }

            /// Power off.
            public static let powerOff = Kind(rawValue: 1)
            /// Reset.
            public static let reset = Kind(rawValue: 2)
            /// The guest reports that it crashed.
            public static let crash = Kind(rawValue: 3)
            /// A processor is to wake up.
            public static let wakeUp = Kind(rawValue: 4)
            /// Suspend.
            public static let suspend = Kind(rawValue: 5)
            /// An SEV guest gives up.
            public static let encryptedTermination = Kind(rawValue: 6)
            /// A TDX guest gives up.
            public static let trustDomainFatal = Kind(rawValue: 7)
        }

        /// The kind of event.
        public let kind: Kind
        /// What belongs to it.
        public let data: [UInt64]

        /// Describes an event.
        public init(kind: Kind, data: [UInt64] = []) {
            self.kind = kind
            self.data = data
        }
    }

    /// Where debugging stopped the guest.
    public struct DebugStop: Sendable, Hashable {
        /// The exception: 1 for a step or a hardware breakpoint, 3 for a breakpoint instruction.
        public let exception: UInt32
        /// The linear address of the instruction.
        public let instruction: UInt64
        /// The debug status register.
        public let dr6: UInt64
        /// The debug control register.
        public let dr7: UInt64

        /// Describes a stop.
        public init(exception: UInt32, instruction: UInt64, dr6: UInt64, dr7: UInt64) {
            self.exception = exception
            self.instruction = instruction
            self.dr6 = dr6
            self.dr7 = dr7
        }
    }
}

extension ProcessorExit {
    /// Whether the guest asks for a value or gives one, so that KVM waits for the answer.
    var isAccess: Bool {
        switch self {
        case .io, .mmio, .hypercall, .readMSR, .writeMSR: true
        default: false
        }
    }

    /// Reads the exit after `KVM_RUN` ended with `errno`, or without an error.
    ///
    /// - Throws: an errno that is not an exit.
    init(run: RunPage, errno: Errno?) throws(Errno) {
        let number = run.reason
        switch errno {
        case .interrupted?, .resourceTemporarilyUnavailable?:
            self = .interrupted
            return
        case let errno?:
            // EFAULT and EHWPOISON come with an exit reason all the same.
            guard number == ProcessorExitReason.memoryFault.rawValue,
                errno == .badAddress || errno.rawValue == CInt(CKVM_EHWPOISON)
            else { throw errno }
        case nil: break
        }
        guard let reason = ProcessorExitReason(rawValue: number) else {
            self = .unknown(number)
            return
        }
        switch reason {
        case .io: self = .io(PortAccess(run))
        case .mmio: self = .mmio(MMIOAccess(run))
        case .hypercall: self = .hypercall(Hypercall(run))
        case .readMSR: self = .readMSR(MSRAccess(run, isWrite: false))
        case .writeMSR: self = .writeMSR(MSRAccess(run, isWrite: true))
        case .memoryFault: self = .memoryFault(MemoryFault(run))
        case .dirtyRingFull: self = .dirtyRingFull
        case .halt: self = .halt
        case .shutdown: self = .shutdown
        case .failedEntry:
            self = .failedEntry(
                reason: run[CKVM_FAIL_ENTRY_REASON],
                hostProcessor: run[CKVM_FAIL_ENTRY_PROCESSOR]
            )
        case .internalError:
            self = .internalError(
                InternalError(
                    code: InternalError.Code(rawValue: run[CKVM_INTERNAL_ERROR_CODE]),
                    data: run.words(run[CKVM_INTERNAL_ERROR_COUNT], at: CKVM_INTERNAL_ERROR_DATA)
                )
            )
        case .systemEvent:
            self = .systemEvent(
                SystemEvent(
                    kind: SystemEvent.Kind(rawValue: run[CKVM_SYSTEM_EVENT_TYPE]),
                    data: run.words(run[CKVM_SYSTEM_EVENT_COUNT], at: CKVM_SYSTEM_EVENT_DATA)
                )
            )
        case .debug:
            self = .debug(
                DebugStop(
                    exception: run[CKVM_DEBUG_EXCEPTION],
                    instruction: run[CKVM_DEBUG_INSTRUCTION],
                    dr6: run[CKVM_DEBUG_DR6],
                    dr7: run[CKVM_DEBUG_DR7]
                )
            )
        case .exception:
            self = .exception(number: run[CKVM_EXCEPTION_NUMBER], errorCode: run[CKVM_EXCEPTION_ERROR_CODE])
        case .interruptWindowOpen: self = .interruptWindowOpen
        case .interrupted: self = .interrupted
        case .setTaskPriority: self = .setTaskPriority
        case .taskPriorityAccess:
            let isWrite: UInt32 = run[CKVM_TPR_IS_WRITE]
            self = .taskPriorityAccess(instruction: run[CKVM_TPR_INSTRUCTION], isWrite: isWrite != 0)
        case .endOfInterrupt: self = .endOfInterrupt(vector: run[CKVM_EOI_VECTOR])
        case .hyperV: self = .hyperV(type: run[CKVM_HYPERV_TYPE])
        case .xen: self = .xen(type: run[CKVM_XEN_TYPE])
        case .processorResetHold: self = .processorResetHold
        case .busLock: self = .busLock
        case .notify:
            let flags: UInt32 = run[CKVM_NOTIFY_FLAGS]
            self = .notify(isContextInvalid: flags & 1 != 0)
        case .tdx: self = .tdx(number: run[CKVM_TDX_NUMBER], flags: run[CKVM_TDX_FLAGS])
        case .certificateRequest:
            self = .certificateRequest(
                address: GuestPhysicalAddress(run[CKVM_CERTIFICATES_ADDRESS]),
                pages: run[CKVM_CERTIFICATES_PAGES]
            )
        case .hardware: self = .hardware(reason: run[0])
        case .s390Intercept, .s390Reset, .s390UserControl, .s390TestSubchannel, .s390StoreSystemInformation,
            .deviceControlRegister, .osi, .paprHypercall, .watchdog, .externalProxy,
            .armNoSyndrome, .armExternalAbort, .armLoadStore64, .riscvSBI, .riscvCSR, .loongarchIOCSR,
            .nonMaskableInterrupt:
            self = .foreign(reason)
        }
    }
}

extension ProcessorExit.PortAccess {
    fileprivate init(_ run: RunPage) {
        let direction: UInt8 = run[CKVM_IO_DIRECTION]
        let size: UInt8 = run[CKVM_IO_SIZE]
        let count: UInt32 = run[CKVM_IO_COUNT]
        self.init(port: run[CKVM_IO_PORT], isOutput: direction == 1, size: Int(size), count: Int(count))
    }
}

extension ProcessorExit.MMIOAccess {
    fileprivate init(_ run: RunPage) {
        let length: UInt32 = run[CKVM_MMIO_LENGTH]
        let isWrite: UInt8 = run[CKVM_MMIO_IS_WRITE]
        let bytes = Int(min(length, 8))
        let value: UInt64 = run[CKVM_MMIO_DATA]
        self.init(
            address: GuestPhysicalAddress(run[CKVM_MMIO_ADDRESS]),
            length: bytes,
            value: isWrite == 0 ? nil : value.lowBytes(bytes)
        )
    }
}

extension ProcessorExit.MSRAccess {
    fileprivate init(_ run: RunPage, isWrite: Bool) {
        self.init(index: run[CKVM_MSR_INDEX], value: isWrite ? run[CKVM_MSR_DATA] : nil, reason: run[CKVM_MSR_REASON])
    }
}

extension ProcessorExit.MemoryFault {
    fileprivate init(_ run: RunPage) {
        self.init(
            flags: run[CKVM_MEMORY_FAULT_FLAGS],
            address: run[CKVM_MEMORY_FAULT_ADDRESS],
            size: run[CKVM_MEMORY_FAULT_SIZE]
        )
    }
}

extension Hypercall {
    fileprivate init(_ run: RunPage) {
        self.init(number: run[CKVM_HYPERCALL_NUMBER], arguments: run.words(6, at: CKVM_HYPERCALL_ARGUMENTS))
    }
}

extension UInt64 {
    /// The number that the first `count` bytes are, little-endian.
    func lowBytes(_ count: Int) -> UInt64 { count >= 8 ? self : self & ((1 << (8 * UInt64(Swift.max(0, count)))) - 1) }
}

import CKVM
import Custody
import Glibc
import SystemPackage
import Testing

@testable import KVMBackend

/// A virtual machine without memory or processors, for cases that give the kernel what the back end never would.
struct BareMachine: ~Copyable {
    static let page: UInt64 = 4096
    static let large: UInt64 = 0x20_0000

    /// The flags of a guest_memfd that the kernel knows here, alone or together: none, mappable, touchable.
    static let kinds: [UInt64] = [0, 1, 3]
    static let mappable = UInt64(CKVM_GUEST_MEMFD_MMAP)
    static let touchable = UInt64(CKVM_GUEST_MEMFD_MMAP | CKVM_GUEST_MEMFD_INIT_SHARED)

    let device: KVMDevice
    let machine: VirtualMachine
    let kernel: any Kernel

    init(on kernel: TestKernel) throws { try self.init(kernel: kernel.make()) }

    init(kernel: any Kernel = LinuxKernel(), _ type: VirtualMachine.Kind = .default) throws {
        guard ckvm_guarded_install() == 0 else { throw Unexpected.outcome }
        let device = try KVMDevice(kernel: kernel)
        let machine = try device.makeVirtualMachine(type)
        try machine.setTaskStateSegment()
        self.device = device
        self.machine = machine
        self.kernel = kernel
    }

    /// Where a case puts the guest's data: beyond the guest program's memory, which lies at address 0.
    static let data: UInt64 = 1 << 30

    /// Puts the guest program and its page tables into the first slot.
    static func addProgram(to machine: borrowing VirtualMachine) throws(KVMError) -> BootMemory {
        let boot = try BootMemory(
            BootMemory.Placement(address: 0, reaching: 2 << 30, processors: 8),
            kernel: LinuxKernel()
        )
        boot.fill()
        try machine.addSlot(0, guestAddress: 0, size: boot.placement.size, hostAddress: boot.map.address)
        return boot
    }

    /// Makes a guest_memfd and does not map it.
    func makeFile(size: UInt64, flags: UInt64) throws(KVMError) -> OwnedDescriptor {
        try BareMachine.makeFile(on: machine.descriptor.rawValue, of: kernel, size: size, flags: flags)
    }

    static func makeFile(
        on descriptor: Int32,
        of kernel: any Kernel,
        size: UInt64,
        flags: UInt64
    ) throws(KVMError) -> OwnedDescriptor {
        var request = ckvm_create_guest_memfd()
        request.size = size
        request.flags = flags
        return try unsafe withUnsafeMutablePointer(to: &request) { pointer throws(KVMError) in
            try unsafe OwnedDescriptor(
                .ioctl(descriptor, .createGuestMemfd, argument: UInt(bitPattern: pointer)),
                of: kernel
            )
        }
    }

    /// Sets a memory slot exactly as it is told.
    ///
    /// - Returns: the kernel's objection.
    func setSlot(_ region: ckvm_userspace_memory_region2) throws -> Errno? {
        var region = region
        return try objection { _ = try machine.descriptor.request(.setUserMemoryRegion2, &region) }
    }

    /// Sets a memory slot by the older request.
    func setSlot(_ region: ckvm_userspace_memory_region) throws -> Errno? {
        var region = region
        return try objection { _ = try machine.descriptor.request(.setUserMemoryRegion, &region) }
    }
}

extension ckvm_userspace_memory_region2 {
    /// A slot of ordinary memory, or of a guest_memfd where one is given.
    init(
        slot: UInt32,
        flags: UInt32 = 0,
        at guestAddress: UInt64,
        size: UInt64,
        host: UInt,
        file: Int32? = nil,
        offset: UInt64 = 0
    ) {
        self.init()
        self.slot = slot
        self.flags = flags | (file == nil ? 0 : UInt32(CKVM_MEM_GUEST_MEMFD))
        guest_phys_addr = guestAddress
        memory_size = size
        userspace_addr = UInt64(host)
        guest_memfd = UInt32(bitPattern: file ?? 0)
        guest_memfd_offset = offset
    }
}

extension ckvm_userspace_memory_region {
    init(slot: UInt32, flags: UInt32 = 0, at guestAddress: UInt64, size: UInt64, host: UInt) {
        self.init()
        self.slot = slot
        self.flags = flags
        guest_phys_addr = guestAddress
        memory_size = size
        userspace_addr = UInt64(host)
    }
}

/// What the kernel says against a request, or `nil` where it grants it.
func objection(_ body: () throws -> Void) throws -> Errno? {
    do {
        try body()
        return nil
    } catch let error as KVMError { return error.errno }
}

/// What the kernel says against a call of the C library that returns -1 then.
func objection(_ result: Int) -> Errno? { result == -1 ? Errno(rawValue: Glibc.errno) : nil }

/// Waits for something that happens soon; that it does is the expectation, not when.
func waits(until condition: () throws -> Bool) rethrows -> Bool {
    let end = ContinuousClock.now + .seconds(20)
    while try !condition() {
        guard ContinuousClock.now < end else { return false }
        sched_yield()
    }
    return true
}

/// This process's own access to its memory, which survives the signal that stops it.
enum Touch {
    /// Stores bytes.
    ///
    /// - Returns: the signal that stopped it, or 0.
    static func put(_ bytes: [UInt8], at address: UInt) -> Int32 {
        var bytes = bytes
        return copy(&bytes, at: address, isRead: false)
    }

    /// Fills bytes with one value.
    ///
    /// - Returns: the signal that stopped it, or 0.
    static func fill(_ byte: UInt8, at address: UInt, count: UInt64) -> Int32 {
        put([UInt8](repeating: byte, count: Int(count)), at: address)
    }

    /// Reads bytes, or says which signal stopped it.
    static func read(_ count: UInt64, at address: UInt) -> (bytes: [UInt8], signal: Int32) {
        var bytes = [UInt8](repeating: 0xEE, count: Int(count))
        let signal = copy(&bytes, at: address, isRead: true)
        return (bytes, signal)
    }

    /// Eight bytes, read at once.
    static func word(at address: UInt) -> UInt64 {
        read(8, at: address).bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Whether all bytes can be read and have one value.
    static func holds(_ byte: UInt8, at address: UInt, count: UInt64) -> Bool {
        let (bytes, signal) = read(count, at: address)
        return signal == 0 && uniform(bytes, byte)
    }

    /// Whether all bytes have one value. Quick without optimization too.
    static func uniform(_ bytes: [UInt8], _ byte: UInt8) -> Bool {
        unsafe bytes.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress, bytes.count > 1 else { return unsafe bytes.first == byte }
            return unsafe bytes[0] == byte && memcmp(start, start + 1, bytes.count - 1) == 0
        }
    }

    private static func copy(_ bytes: inout [UInt8], at address: UInt, isRead: Bool) -> Int32 {
        guard let memory = unsafe UnsafeMutableRawPointer(bitPattern: address) else { return -1 }
        return unsafe bytes.withUnsafeMutableBytes { buffer -> Int32 in
            guard let own = buffer.baseAddress else { return 0 }
            var fault: UInt = 0
            return isRead
                ? unsafe ckvm_guarded_copy(own, memory, buffer.count, &fault)
                : unsafe ckvm_guarded_copy(memory, own, buffer.count, &fault)
        }
    }
}

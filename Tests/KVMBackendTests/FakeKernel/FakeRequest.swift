import CKVM
import Glibc
import SystemPackage

@testable import KVMBackend

/// One ioctl of the fake kernel that does not enter a guest: its checks, in their order, and what it does.
struct FakeRequest {
    typealias State = FakeKernel.State

    let features: FakeFeatures
    let argument: UInt
    private let page = UInt64(FakeFile.page)
    private let privateAttribute = UInt64(CKVM_MEMORY_ATTRIBUTE_PRIVATE)

    init(features: FakeFeatures, argument: UInt) {
        self.features = features
        self.argument = argument
    }

    func perform(_ request: KVMRequest, on descriptor: Int32, _ state: inout State) throws(Errno) -> Int {
        switch (state.objects[descriptor], request) {
        case (nil, _): throw .badFileDescriptor
        case (.device?, _): try onDevice(request, &state)
        case (.machine(let number)?, _): try onMachine(number, request, &state)
        case (.processor(let number)?, _): try onProcessor(number, request, &state)
        case (.file(let number)?, .setMemoryAttributes2): try setFileAttributes(number, &state)
        case (.file?, _): throw .inappropriateIOCTLForDevice
        }
    }

    // MARK: /dev/kvm

    private func onDevice(_ request: KVMRequest, _ state: inout State) throws(Errno) -> Int {
        switch request {
        case .getAPIVersion: return 12
        case .checkExtension: return features.value(of: UInt32(truncatingIfNeeded: argument))
        case .getVCPUMapSize: return FakeProcessor.mapSize
        case .getSupportedCPUID:
            try write { (table: inout ckvm_cpuid2) in table.nent = 1 }
            return 0
        case .createVM:
            guard argument < 64, features.virtualMachineTypes & 1 << Int(argument) != 0 else { throw .invalidArgument }
            let number = state.number()
            state.machines[number] = FakeMachine(type: argument)
            return try descriptor(of: .machine(number), &state)
        default: throw .invalidArgument
        }
    }

    private func descriptor(of object: FakeKernel.Object, _ state: inout State) throws(Errno) -> Int {
        let descriptor = try LinuxKernel().perform(.memfdCreate(name: "fake-kvm"))
        state.objects[Int32(descriptor)] = object
        return descriptor
    }

    // MARK: Virtual machines

    private func onMachine(_ number: Int, _ request: KVMRequest, _ state: inout State) throws(Errno) -> Int {
        switch request {
        case .checkExtension
        where argument == UInt(KVMCapability.memoryAttributes.rawValue)
            && state.machines[number]?.type == VirtualMachine.Kind.default.rawValue:
            return 0
        // Pages of a machine with private memory begin private, unless they have attributes of their own.
        case .checkExtension
        where argument == UInt(KVMCapability.guestMemfdFlags.rawValue)
            && state.machines[number]?.type != VirtualMachine.Kind.default.rawValue && !features.hasFileAttributes:
            return Int(CKVM_GUEST_MEMFD_MMAP)
        case .checkExtension: return features.value(of: UInt32(truncatingIfNeeded: argument))
        case .setTSSAddress: return 0
        case .createVCPU: return try createProcessor(number, &state)
        case .createGuestMemfd: return try createFile(number, &state)
        case .setUserMemoryRegion:
            let region: ckvm_userspace_memory_region = try read()
            // The older request knows two flags.
            guard region.flags & ~UInt32(CKVM_MEM_LOG_DIRTY_PAGES | CKVM_MEM_READONLY) == 0 else {
                throw .invalidArgument
            }
            var newer = ckvm_userspace_memory_region2()
            newer.slot = region.slot
            newer.flags = region.flags
            newer.guest_phys_addr = region.guest_phys_addr
            newer.memory_size = region.memory_size
            newer.userspace_addr = region.userspace_addr
            try setSlot(newer, number, &state)
            return 0
        case .setUserMemoryRegion2:
            try setSlot(read(), number, &state)
            return 0
        case .setMemoryAttributes:
            try setAttributes(number, &state)
            return 0
        case .enableCapability:
            try enable(number, &state)
            return 0
        case .getDirtyLog:
            try getDirtyLog(number, &state)
            return 0
        case .clearDirtyLog:
            try clearDirtyLog(number, &state)
            return 0
        case .resetDirtyRings: return try resetRings(number, &state)
        default: throw .inappropriateIOCTLForDevice
        }
    }

    private func enable(_ number: Int, _ state: inout State) throws(Errno) {
        let request: ckvm_enable_cap = try read()
        guard request.flags == 0, let machine = state.machines[number] else { throw .invalidArgument }
        let value = request.args.0
        switch KVMCapability(rawValue: request.cap) {
        case .manualDirtyLogProtect?:
            guard value & ~UInt64(features.manualDirtyLogProtect) == 0 else { throw .invalidArgument }
            state.machines[number]?.isProtectionManual = value & 1 != 0
        case .dirtyLogRing?:
            let entry = UInt64(DirtyRing.bytes(1))
            guard value.nonzeroBitCount == 1, value >= page,
                value >= UInt64(FakeFeatures.reservedRingEntries) * entry
            else { throw .invalidArgument }
            guard value <= UInt64(features.dirtyLogRing) else { throw .argListTooLong }
            guard machine.processors.isEmpty, machine.ringEntries == 0 else { throw .invalidArgument }
            state.machines[number]?.ringEntries = Int(value / entry)
        case .exitHypercall?:
            guard value & ~UInt64(features.exitHypercall) == 0 else { throw .invalidArgument }
            state.machines[number]?.passedHypercalls = value
        default: throw .invalidArgument
        }
    }

    // MARK: Dirty pages

    private func loggingSlot(_ number: UInt32, of machine: Int, _ state: State) throws(Errno) -> FakeMachine.Slot {
        // With rings there is no bitmap.
        guard state.machines[machine]?.ringEntries == 0 else { throw .noSuchAddressOrDevice }
        guard number < UInt32(features.memorySlots) else { throw .invalidArgument }
        guard let slot = state.machines[machine]?.slots[number], slot.logs else { throw .noSuchFileOrDirectory }
        return slot
    }

    private func getDirtyLog(_ number: Int, _ state: inout State) throws(Errno) {
        let request: ckvm_dirty_log = try read()
        let slot = try loggingSlot(request.slot, of: number, state)
        guard let words = unsafe UnsafeMutablePointer<UInt64>(bitPattern: UInt(request.bitmap)) else {
            throw .badAddress
        }
        for word in 0..<Int((slot.pageCount + 63) / 64) { unsafe words[word] = 0 }
        for page in slot.written { unsafe words[Int(page / 64)] |= 1 << (page % 64) }
        if state.machines[number]?.isProtectionManual == false {
            state.machines[number]?.slots[request.slot]?.written = []
        }
    }

    private func clearDirtyLog(_ number: Int, _ state: inout State) throws(Errno) {
        let request: ckvm_clear_dirty_log = try read()
        // Whole words, but at the slot's end.
        guard request.first_page % 64 == 0 else { throw .invalidArgument }
        let slot = try loggingSlot(request.slot, of: number, state)
        let count = UInt64(request.page_count)
        guard request.first_page <= slot.pageCount, count <= slot.pageCount - request.first_page,
            count % 64 == 0 || count == slot.pageCount - request.first_page
        else { throw .invalidArgument }
        guard let words = unsafe UnsafePointer<UInt64>(bitPattern: UInt(request.bitmap)) else { throw .badAddress }
        for bit in 0..<count where unsafe words[Int(bit / 64)] >> (bit % 64) & 1 != 0 {
            state.machines[number]?.slots[request.slot]?.written.remove(request.first_page + bit)
        }
    }

    private func resetRings(_ number: Int, _ state: inout State) throws(Errno) -> Int {
        guard state.machines[number]?.ringEntries ?? 0 > 0 else { throw .invalidArgument }
        var count = 0
        for (processor, value) in state.processors where value.machine == number {
            for (slot, page) in state.processors[processor]?.ring?.reset() ?? [] {
                state.machines[number]?.slots[slot]?.written.remove(page)
                count += 1
            }
        }
        return count
    }

    private func createProcessor(_ number: Int, _ state: inout State) throws(Errno) -> Int {
        guard argument < 8 else { throw .invalidArgument }
        guard state.machines[number]?.processors.insert(argument).inserted == true else { throw .fileExists }
        let kernel = LinuxKernel()
        let size = UInt64(FakeProcessor.mapSize)
        let processor = state.number()
        let descriptor = try descriptor(of: .processor(processor), &state)
        let entries = state.machines[number]?.ringEntries ?? 0
        let ringSize = UInt64(DirtyRing.bytes(entries))
        _ = try kernel.perform(.ftruncate(Int32(descriptor), size: UInt64(FakeProcessor.ringOffset) + ringSize))
        let access = PROT_READ | PROT_WRITE
        let run = try kernel.perform(.mmap(Int32(descriptor), length: size, protection: access))
        var value = FakeProcessor(machine: number, index: argument, run: UInt(bitPattern: run))
        if entries > 0 {
            let offset = UInt64(FakeProcessor.ringOffset)
            let ring = try kernel.perform(
                .mmap(Int32(descriptor), length: ringSize, protection: access, offset: offset)
            )
            value.ring = FakeRing(address: UInt(bitPattern: ring), entries: entries)
        }
        state.processors[processor] = value
        return descriptor
    }

    private func createFile(_ number: Int, _ state: inout State) throws(Errno) -> Int {
        let request: ckvm_create_guest_memfd = try read()
        let flags = features.fileFlags(hasPrivateMemory: state.machines[number]?.hasPrivateMemory ?? false)
        guard request.flags & ~flags == 0 else { throw .invalidArgument }
        guard request.size > 0, request.size < 1 << 63, request.size % page == 0 else { throw .invalidArgument }
        let file = state.number()
        let inode = try FakeFile(size: request.size, flags: request.flags, machine: number)
        // The number is a duplicate's: it tells the file's size, as a real one does.
        let descriptor = fcntlDuplicate(inode.store)
        guard descriptor >= 0 else {
            inode.destroy()
            throw .tooManyOpenFiles
        }
        state.files[file] = inode
        state.objects[descriptor] = .file(file)
        return Int(descriptor)
    }

    private func fcntlDuplicate(_ descriptor: Int32) -> Int32 { fcntl(descriptor, F_DUPFD_CLOEXEC, 0) }

    private func setSlot(
        _ region: ckvm_userspace_memory_region2,
        _ number: Int,
        _ state: inout State
    ) throws(Errno) {
        let isBound = region.flags & UInt32(CKVM_MEM_GUEST_MEMFD) != 0
        // A file of guest memory can neither be read-only nor have its writes logged.
        let known = UInt32(isBound ? CKVM_MEM_GUEST_MEMFD : CKVM_MEM_LOG_DIRTY_PAGES | CKVM_MEM_READONLY)
        guard region.flags & ~known == 0 else { throw .invalidArgument }
        guard region.memory_size % page == 0, region.guest_phys_addr % page == 0, region.userspace_addr % page == 0
        else { throw .invalidArgument }
        guard region.userspace_addr <= 1 << 47 else { throw .invalidArgument }
        if isBound {
            let end = region.guest_memfd_offset.addingReportingOverflow(region.memory_size)
            guard region.guest_memfd_offset % page == 0, !end.overflow else { throw .invalidArgument }
        }
        guard region.slot < UInt32(features.memorySlots) else { throw .invalidArgument }
        let end = region.guest_phys_addr.addingReportingOverflow(region.memory_size)
        guard !end.overflow, let machine = state.machines[number] else { throw .invalidArgument }
        let old = machine.slots[region.slot]
        guard region.memory_size > 0 else {
            guard old != nil else { throw .invalidArgument }
            state.machines[number]?.slots[region.slot] = nil
            return
        }
        var slot = FakeMachine.Slot(
            flags: region.flags,
            guestAddress: region.guest_phys_addr,
            size: region.memory_size,
            userAddress: region.userspace_addr
        )
        if let old {
            // A slot with a file can be removed, and nothing else.
            guard !isBound, old.file == nil else { throw .invalidArgument }
            guard old.userAddress == slot.userAddress, old.size == slot.size,
                (old.flags ^ slot.flags) & UInt32(CKVM_MEM_READONLY) == 0
            else { throw .invalidArgument }
            // The log of a slot begins empty, and goes with the flag.
            if old.logs, slot.logs { slot.written = old.written }
        }
        for (other, taken) in machine.slots where other != region.slot {
            guard !taken.overlaps(slot.guestAddress, slot.size) else { throw .fileExists }
        }
        if isBound {
            slot.file = try bind(region, number, machine, state)
            slot.offset = region.guest_memfd_offset
            let isMappable = slot.file.flatMap { state.files[$0]?.isMappable } ?? false
            slot.servesEveryAccess = isMappable || features.hasFileAttributes
        }
        state.machines[number]?.slots[region.slot] = slot
    }

    private func bind(
        _ region: ckvm_userspace_memory_region2,
        _ number: Int,
        _ machine: FakeMachine,
        _ state: State
    ) throws(Errno) -> Int {
        let descriptor = Int32(bitPattern: region.guest_memfd)
        guard fcntl(descriptor, F_GETFD) != -1 else { throw .badFileDescriptor }
        guard let handle = state.file(of: descriptor), let file = state.files[handle.number], file.machine == number
        else { throw .invalidArgument }
        guard region.guest_memfd_offset < file.size, region.memory_size <= file.size - region.guest_memfd_offset else {
            throw .invalidArgument
        }
        let first = region.guest_memfd_offset
        let overlaps = machine.slots.values.contains { slot in
            slot.file == handle.number && slot.offset < first + region.memory_size && first < slot.offset + slot.size
        }
        // The errno has changed in Linux 7.2, which is older than the file's attributes.
        guard !overlaps else { throw features.hasFileAttributes ? .fileExists : .invalidArgument }
        return handle.number
    }

    private func setAttributes(_ number: Int, _ state: inout State) throws(Errno) {
        guard features.hasVMAttributes, let machine = state.machines[number] else { throw .inappropriateIOCTLForDevice }
        let request: ckvm_memory_attributes = try read()
        guard request.flags == 0 else { throw .invalidArgument }
        // With the file's attributes on, the machine has none: the request is refused, or does nothing.
        let known = machine.hasPrivateMemory && !features.hasFileAttributes ? privateAttribute : 0
        guard request.attributes & ~known == 0 else { throw .invalidArgument }
        let end = request.address.addingReportingOverflow(request.size)
        guard request.size > 0, !end.overflow else { throw .invalidArgument }
        guard request.address % page == 0, request.size % page == 0 else { throw .invalidArgument }
        for gfn in request.address / page..<end.partialValue / page {
            if request.attributes & privateAttribute != 0 {
                state.machines[number]?.privatePages.insert(gfn)
            } else {
                state.machines[number]?.privatePages.remove(gfn)
            }
        }
    }

    // MARK: Files

    private func setFileAttributes(_ number: Int, _ state: inout State) throws(Errno) -> Int {
        guard features.hasFileAttributes, let file = state.files[number] else { throw .inappropriateIOCTLForDevice }
        let request: ckvm_memory_attributes2 = try read()
        guard request.flags == 0, FakeRequest.isZero(request.reserved) else { throw .invalidArgument }
        guard state.machines[file.machine]?.hasPrivateMemory == true else { throw .invalidArgument }
        guard request.attributes & ~privateAttribute == 0 else { throw .invalidArgument }
        let end = request.offset.addingReportingOverflow(request.size)
        guard request.size > 0, !end.overflow, request.offset % page == 0, request.size % page == 0,
            request.offset < file.size, end.partialValue <= file.size
        else { throw .invalidArgument }
        let pages = FileHandle(number: number).pages(request.offset, request.size)
        let isPrivate = request.attributes & privateAttribute != 0
        guard pages.contains(where: { file.isPrivate($0) != isPrivate }) else { return 0 }
        if state.memoryIsShort {
            try write { (request: inout ckvm_memory_attributes2) in request.error_offset = request.offset }
            throw .noMemory
        }
        if isPrivate {
            // Every page that is there must have the file's own reference alone, the private ones among them too.
            for held in pages where file.isPresent(held) && file.references[held] ?? 0 > 0 {
                try write { (request: inout ckvm_memory_attributes2) in request.error_offset = UInt64(held) * page }
                throw .resourceTemporarilyUnavailable
            }
        }
        let empty = state.empty
        state.files[number]?.set(pages, isPrivate: isPrivate, empty: empty)
        return 0
    }

    private static func isZero<Words>(_ words: Words) -> Bool {
        unsafe withUnsafeBytes(of: words) { unsafe $0.allSatisfy { $0 == 0 } }
    }

    // MARK: Processors

    private func onProcessor(_ number: Int, _ request: KVMRequest, _ state: inout State) throws(Errno) -> Int {
        switch request {
        case .setCPUID: return 0
        case .getRegisters:
            let registers = state.processors[number]?.registers ?? ckvm_regs()
            try write { (target: inout ckvm_regs) in target = registers }
        case .setRegisters:
            state.processors[number]?.registers = try read()
            state.processors[number]?.program = .start
        case .getSpecialRegisters:
            let registers = state.processors[number]?.specialRegisters ?? ckvm_sregs()
            try write { (target: inout ckvm_sregs) in target = registers }
        case .setSpecialRegisters: state.processors[number]?.specialRegisters = try read()
        case .preFaultMemory where features.hasPreFault: try preFault(number, &state)
        default: throw .invalidArgument
        }
        return 0
    }

    private func preFault(_ number: Int, _ state: inout State) throws(Errno) {
        var request: ckvm_pre_fault_memory = try read()
        guard request.flags == 0 else { throw .invalidArgument }
        let end = request.gpa.addingReportingOverflow(request.size)
        guard request.gpa % page == 0, request.size % page == 0, request.size > 0, !end.overflow else {
            throw .invalidArgument
        }
        let event = state.preFaultEvents.isEmpty ? nil : state.preFaultEvents.removeFirst()
        var done = 0
        var failure: Errno?
        while request.size > 0, failure == nil {
            if let event, done >= event.pages {
                failure = event.errno
            } else {
                failure = populate(request.gpa, number, state)
            }
            guard failure == nil else { break }
            request.gpa += page
            request.size -= page
            done += 1
        }
        let left = request
        try write { (target: inout ckvm_pre_fault_memory) in target = left }
        // It is a success as soon as one page is done.
        if let failure, done == 0 { throw failure }
    }

    /// Gives one page its memory.
    private func populate(_ address: UInt64, _ number: Int, _ state: State) -> Errno? {
        guard let processor = state.processors[number], let machine = state.machines[processor.machine],
            let slot = machine.slots.first(where: { address >= $1.guestAddress && address < $1.end })
        else { return .noSuchFileOrDirectory }
        guard !state.vanishingSlots.contains(slot.key) else { return .resourceTemporarilyUnavailable }
        switch FakeAccess(address, of: processor, in: state) {
        case .mmio: return .noSuchFileOrDirectory
        case .fault, .error: return .badAddress
        case .memory(let host):
            // A read of a page of a shared mapping brings the page in.
            var byte: UInt8 = 0
            return FakeAccess.copy(from: host, count: 1, to: &byte) ? nil : .badAddress
        }
    }

    // MARK: Structures

    private func read<Structure>() throws(Errno) -> Structure {
        guard let pointer = unsafe UnsafePointer<Structure>(bitPattern: argument) else { throw .badAddress }
        return unsafe pointer.pointee
    }

    private func write<Structure>(_ body: (inout Structure) -> Void) throws(Errno) {
        guard let pointer = unsafe UnsafeMutablePointer<Structure>(bitPattern: argument) else { throw .badAddress }
        unsafe body(&pointer.pointee)
    }
}

import CKVM

extension KVMRequest {
    /// What a request was given, by the names of the kernel's documentation: its structure's fields, or the number.
    ///
    /// For a request of memory, `argument` is the address of its structure, as in the request itself.
    func description(ofArgument argument: UInt) -> String {
        switch self {
        case .setUserMemoryRegion:
            describe(argument) { (region: ckvm_userspace_memory_region) in
                [
                    ("slot", UInt64(region.slot)), ("flags", UInt64(region.flags)),
                    ("guest_phys_addr", region.guest_phys_addr), ("memory_size", region.memory_size),
                    ("userspace_addr", region.userspace_addr),
                ]
            }
        case .setUserMemoryRegion2:
            describe(argument) { (region: ckvm_userspace_memory_region2) in
                [
                    ("slot", UInt64(region.slot)), ("flags", UInt64(region.flags)),
                    ("guest_phys_addr", region.guest_phys_addr), ("memory_size", region.memory_size),
                    ("userspace_addr", region.userspace_addr), ("guest_memfd", UInt64(region.guest_memfd)),
                    ("guest_memfd_offset", region.guest_memfd_offset),
                ]
            }
        case .createGuestMemfd:
            describe(argument) { (file: ckvm_create_guest_memfd) in [("size", file.size), ("flags", file.flags)] }
        case .setMemoryAttributes:
            describe(argument) { (request: ckvm_memory_attributes) in
                [("address", request.address), ("size", request.size), ("attributes", request.attributes)]
            }
        case .setMemoryAttributes2:
            describe(argument) { (request: ckvm_memory_attributes2) in
                [
                    ("offset", request.offset), ("size", request.size), ("attributes", request.attributes),
                    ("error_offset", request.error_offset),
                ]
            }
        case .preFaultMemory:
            describe(argument) { (request: ckvm_pre_fault_memory) in [("gpa", request.gpa), ("size", request.size)] }
        case .enableCapability:
            describe(argument) { (request: ckvm_enable_cap) in
                [("cap", UInt64(request.cap)), ("args[0]", request.args.0)]
            }
        case .getDirtyLog: describe(argument) { (request: ckvm_dirty_log) in [("slot", UInt64(request.slot))] }
        case .clearDirtyLog:
            describe(argument) { (request: ckvm_clear_dirty_log) in
                [
                    ("slot", UInt64(request.slot)), ("first_page", request.first_page),
                    ("num_pages", UInt64(request.page_count)),
                ]
            }
        case .getMSRs, .setMSRs:
            describe(argument) { (table: ckvm_msrs) in [("nmsrs", UInt64(table.count))] }
        case .setCPUID, .getCPUID, .getSupportedCPUID:
            describe(argument) { (table: ckvm_cpuid2) in [("nent", UInt64(table.nent))] }
        case .setRegisters: describe(argument) { (registers: ckvm_regs) in [("rip", registers.rip)] }
        case .setSpecialRegisters:
            describe(argument) { (registers: ckvm_sregs) in
                [("cr0", registers.cr0), ("cr3", registers.cr3), ("cr4", registers.cr4), ("efer", registers.efer)]
            }
        default: "0x\(String(argument, radix: 16))"
        }
    }

    private func describe<Structure>(_ argument: UInt, _ fields: (Structure) -> [(String, UInt64)]) -> String {
        guard let pointer = unsafe UnsafePointer<Structure>(bitPattern: argument) else { return "no structure" }
        return unsafe fields(pointer.pointee).map { "\($0) 0x\(String($1, radix: 16))" }.joined(separator: ", ")
    }
}

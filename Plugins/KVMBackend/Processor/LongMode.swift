/// The register values of a processor that runs a user program in 64-bit mode: privilege level 3, flat, with port access.
///
/// The bits are those of the *AMD64 Architecture Programmer's Manual*, volume 2, chapters 3 and 4.
enum LongMode {
    /// Puts a processor's special registers into 64-bit mode at privilege level 3.
    static func configure(_ registers: inout SpecialRegisters, pageTable: UInt64) {
        registers.cr0 = 0x8005_0033  // PG, AM, WP, NE, ET, MP, PE
        registers.cr4 = 0x20  // PAE
        registers.efer = 0x501  // LMA, LME, SCE
        registers.cr3 = pageTable
        // The task state segment, of which the map of ports alone is looked at (KVM of the PVM kind does, whatever the privilege
        // level for ports is): the head of the root table is zeroes there, which is to say every port, and no byte of RAM's.
        registers.tr.base = pageTable
        registers.cs = segment(selector: 0x33, type: 11, isLong: true)
        let data = segment(selector: 0x2B, type: 3, isLong: false)
        registers.ds = data
        registers.es = data
        registers.fs = data
        registers.gs = data
        registers.ss = data
    }

    /// The general registers of a program that starts at `instruction` with its mailbox's address in RDI.
    static func start(at instruction: UInt64, mailbox: UInt64) -> GeneralRegisters {
        var registers = GeneralRegisters()
        registers.rip = instruction
        registers.rdi = mailbox
        registers.rflags = 0x3002  // I/O privilege level 3: ‘out’ works
        return registers
    }

    private static func segment(selector: UInt16, type: UInt8, isLong: Bool) -> SpecialRegisters.Segment {
        var segment = SpecialRegisters.Segment()
        segment.limit = 0xFFFF_FFFF
        segment.selector = selector
        segment.type = type
        segment.isPresent = true
        segment.privilegeLevel = 3
        segment.isDefault32 = !isLong
        segment.isCodeOrData = true
        segment.isLong = isLong
        segment.hasPageGranularity = true
        return segment
    }
}

import CKVM

/// The segment, descriptor-table and control registers of an x86-64 processor (`KVM_GET_SREGS`).
public struct SpecialRegisters: Sendable, Hashable {
    /// The code segment.
    public var cs: Segment
    /// The data segment.
    public var ds: Segment
    /// The extra segment.
    public var es: Segment
    /// The segment FS.
    public var fs: Segment
    /// The segment GS.
    public var gs: Segment
    /// The stack segment.
    public var ss: Segment
    /// The task register.
    public var tr: Segment
    /// The local descriptor table.
    public var ldt: Segment
    /// The global descriptor table.
    public var gdt: DescriptorTable
    /// The interrupt descriptor table.
    public var idt: DescriptorTable
    /// Control register 0: protection and paging.
    public var cr0: UInt64
    /// Control register 2: the address of the last page fault.
    public var cr2: UInt64
    /// Control register 3: the root of the page tables.
    public var cr3: UInt64
    /// Control register 4: extensions.
    public var cr4: UInt64
    /// Control register 8: the task priority.
    public var cr8: UInt64
    /// The extended features: long mode and the like.
    public var efer: UInt64
    /// The interrupt controller's base address and state.
    public var apicBase: UInt64
    /// The interrupts that are pending, a bit for each vector: four words. At most one bit may be set.
    public var pendingInterrupts: [UInt64]

    /// A segment register with its hidden part.
    public struct Segment: Sendable, Hashable {
        /// Where the segment begins, in linear bytes.
        public var base: UInt64 = 0
        /// Its last byte.
        public var limit: UInt32 = 0
        /// The visible part.
        public var selector: UInt16 = 0
        /// The four bits of its type.
        public var type: UInt8 = 0
        /// Whether it is present.
        public var isPresent = false
        /// Its privilege level, 0 to 3.
        public var privilegeLevel: UInt8 = 0
        /// Whether its default size is 32 bits.
        public var isDefault32 = false
        /// Whether it is code or data rather than a system segment.
        public var isCodeOrData = false
        /// Whether it is 64-bit code.
        public var isLong = false
        /// Whether its limit counts pages.
        public var hasPageGranularity = false
        /// The bit that is free for software.
        public var isAvailable = false
        /// Whether it cannot be used.
        public var isUnusable = false

        /// A null segment.
        public init() {}
    }

    /// The place of a descriptor table.
    public struct DescriptorTable: Sendable, Hashable {
        /// Where the table begins, in linear bytes.
        public var base: UInt64
        /// Its last byte.
        public var limit: UInt16

        /// A table of the given place.
        public init(base: UInt64 = 0, limit: UInt16 = 0) {
            self.base = base
            self.limit = limit
        }
    }
}

extension SpecialRegisters {
    init(_ kvm: ckvm_sregs) {
        cs = Segment(kvm.cs)
        ds = Segment(kvm.ds)
        es = Segment(kvm.es)
        fs = Segment(kvm.fs)
        gs = Segment(kvm.gs)
        ss = Segment(kvm.ss)
        tr = Segment(kvm.tr)
        ldt = Segment(kvm.ldt)
        gdt = DescriptorTable(base: kvm.gdt.base, limit: kvm.gdt.limit)
        idt = DescriptorTable(base: kvm.idt.base, limit: kvm.idt.limit)
        cr0 = kvm.cr0
        cr2 = kvm.cr2
        cr3 = kvm.cr3
        cr4 = kvm.cr4
        cr8 = kvm.cr8
        efer = kvm.efer
        apicBase = kvm.apic_base
        let (a, b, c, d) = kvm.interrupt_bitmap
        pendingInterrupts = [a, b, c, d]
    }

    /// The structure of the kernel's interface.
    var kvm: ckvm_sregs {
        var kvm = ckvm_sregs()
        kvm.cs = cs.kvm
        kvm.ds = ds.kvm
        kvm.es = es.kvm
        kvm.fs = fs.kvm
        kvm.gs = gs.kvm
        kvm.ss = ss.kvm
        kvm.tr = tr.kvm
        kvm.ldt = ldt.kvm
        kvm.gdt.base = gdt.base
        kvm.gdt.limit = gdt.limit
        kvm.idt.base = idt.base
        kvm.idt.limit = idt.limit
        kvm.cr0 = cr0
        kvm.cr2 = cr2
        kvm.cr3 = cr3
        kvm.cr4 = cr4
        kvm.cr8 = cr8
        kvm.efer = efer
        kvm.apic_base = apicBase
        let words = pendingInterrupts + [0, 0, 0, 0]
        kvm.interrupt_bitmap = (words[0], words[1], words[2], words[3])
        return kvm
    }
}

extension SpecialRegisters.Segment {
    fileprivate init(_ kvm: ckvm_segment) {
        base = kvm.base
        limit = kvm.limit
        selector = kvm.selector
        type = kvm.type
        isPresent = kvm.present != 0
        privilegeLevel = kvm.dpl
        isDefault32 = kvm.db != 0
        isCodeOrData = kvm.s != 0
        isLong = kvm.l != 0
        hasPageGranularity = kvm.g != 0
        isAvailable = kvm.avl != 0
        isUnusable = kvm.unusable != 0
    }

    fileprivate var kvm: ckvm_segment {
        var kvm = ckvm_segment()
        kvm.base = base
        kvm.limit = limit
        kvm.selector = selector
        kvm.type = type & 0xF
        kvm.present = isPresent ? 1 : 0
        kvm.dpl = privilegeLevel & 3
        kvm.db = isDefault32 ? 1 : 0
        kvm.s = isCodeOrData ? 1 : 0
        kvm.l = isLong ? 1 : 0
        kvm.g = hasPageGranularity ? 1 : 0
        kvm.avl = isAvailable ? 1 : 0
        kvm.unusable = isUnusable ? 1 : 0
        return kvm
    }
}

import CKVM
import Custody

/// What the guest has written since it was last cleared, collected from wherever KVM notes it: one bit for each page of a
/// slot, or a ring for each processor.
///
/// What is collected is taken out of KVM's notes at once and kept here, so that a slot can come and go, a ring can be full,
/// and nothing that the guest writes later is lost with what is cleared.
final class DirtyTracker: Sendable {
    private struct State {
        var dirty: PageRunMap<Bool>
        var slots: [UInt32: PageRange] = [:]
        var rings: [DirtyRing] = []
        var isLogging = false
    }

    /// How KVM notes what is written.
    enum Method: Sendable, Hashable {
        /// It is not asked to.
        case none
        /// `KVM_GET_DIRTY_LOG`; where the protection is in this process's hands, `KVM_CLEAR_DIRTY_LOG` too.
        case bitmap(isProtectionManual: Bool)
        /// A ring of so many entries for each processor.
        case ring(entries: Int)
    }

    /// How KVM notes what is written.
    let method: Method
    /// The virtual machine's descriptor. Whoever calls this type keeps the machine.
    private let machine: Int32
    private let kernel: any Kernel
    private let state: Locked<State>

    /// Turns the method on; before the first processor is made.
    init(_ method: Method, machine: borrowing VirtualMachine, bounds: PageRange) throws(KVMError) {
        switch method {
        case .none, .bitmap(isProtectionManual: false): break
        case .bitmap(isProtectionManual: true):
            try machine.enable(.manualDirtyLogProtect, UInt64(CKVM_DIRTY_LOG_MANUAL_PROTECT))
        case .ring(let entries):
            try machine.enable(.dirtyLogRing, UInt64(entries * MemoryLayout<ckvm_dirty_gfn>.size))
        }
        self.method = method
        self.machine = machine.descriptor.rawValue
        kernel = machine.descriptor.kernel
        state = Locked(State(dirty: PageRunMap(bounds: bounds, state: false)))
    }

    /// Whether what is written is noted.
    var isLogging: Bool { state.withLock { $0.isLogging } }

    /// Takes a new processor's ring, where it has one.
    func add(_ processor: KVMProcessor) throws(KVMError) {
        guard case .ring(let entries) = method else { return }
        let ring = try processor.descriptor.dirtyRing(entries: entries)
        state.withLock { $0.rings.append(ring) }
    }

    /// From here on the slots that are added log; all pages are clean.
    func start() {
        state.withLock { state in
            state.isLogging = true
            state.dirty.set(state.dirty.bounds, to: false)
        }
    }

    /// Forgets everything.
    func stop() {
        state.withLock { state in
            state.isLogging = false
            state.slots = [:]
        }
    }

    /// Notes that a slot logs.
    func add(_ slot: UInt32, _ range: PageRange) { state.withLock { $0.slots[slot] = range } }

    /// Collects what a slot knows that is about to go, and forgets it.
    func remove(_ slot: UInt32) throws(KVMError) {
        try state.withLock { state throws(KVMError) in
            guard let range = state.slots[slot] else { return }
            try collect([(slot, range)], &state)
            state.slots[slot] = nil
        }
    }

    /// Collects, and returns the pages that are dirty.
    func collect() throws(KVMError) -> PageRunMap<Bool> {
        try state.withLock { state throws(KVMError) in
            try collect(state.slots.map { ($0.key, $0.value) }, &state)
            return state.dirty
        }
    }

    /// Collects the rings alone: one of them is full.
    func collectRings() throws(KVMError) {
        try state.withLock { state throws(KVMError) in try drainRings(&state) }
    }

    /// Pages are clean.
    func clear(_ range: PageRange) { state.withLock { $0.dirty.set(range, to: false) } }

    private func collect(_ slots: [(UInt32, PageRange)], _ state: inout State) throws(KVMError) {
        switch method {
        case .none: return
        case .ring: try drainRings(&state)
        case .bitmap(let isProtectionManual):
            for (slot, range) in slots {
                let bitmap = try bitmap(of: slot, range, isProtectionManual)
                DirtyTracker.forEachRun(of: bitmap, in: range) { state.dirty.set($0, to: true) }
            }
        }
    }

    private func drainRings(_ state: inout State) throws(KVMError) {
        // One after the other: a ring's entries are used while the state is changed.
        for ring in state.rings {
            ring.drain { slot, page in
                guard let range = state.slots[slot], page < range.count else { return }
                state.dirty.set(PageRange(uncheckedStart: range.start.rawValue + page, count: 1), to: true)
            }
        }
        try kernel.call(.ioctl(machine, .resetDirtyRings, argument: 0))
    }

    /// Gets a slot's bits, and has KVM forget exactly those.
    private func bitmap(of slot: UInt32, _ range: PageRange, _ isProtectionManual: Bool) throws(KVMError) -> [UInt64] {
        var bitmap = [UInt64](repeating: 0, count: Int((range.count + 63) / 64))
        var span = bitmap.mutableSpan
        try unsafe span.withUnsafeMutableBytes { bytes throws(KVMError) in
            let address = UInt64(UInt(bitPattern: bytes.baseAddress))
            var get = ckvm_dirty_log(slot: slot, padding: 0, bitmap: address)
            try request(.getDirtyLog, &get)
            guard isProtectionManual else { return }
            // Parts of so many pages: the kernel holds its lock meanwhile. They begin at multiples of 64.
            let part: UInt64 = 1 << 24
            var first: UInt64 = 0
            while first < range.count {
                var clear = ckvm_clear_dirty_log(
                    slot: slot,
                    page_count: UInt32(min(part, range.count - first)),
                    first_page: first,
                    bitmap: address + first / 8
                )
                try request(.clearDirtyLog, &clear)
                first += part
            }
        }
        return bitmap
    }

    private func request<Structure>(_ request: KVMRequest, _ structure: inout Structure) throws(KVMError) {
        try unsafe withUnsafeMutablePointer(to: &structure) { pointer throws(KVMError) in
            _ = try unsafe kernel.call(.ioctl(machine, request, argument: UInt(bitPattern: pointer)))
        }
    }

    /// Gives `body` each run of set bits as pages.
    static func forEachRun(of bitmap: [UInt64], in range: PageRange, _ body: (PageRange) -> Void) {
        var start: UInt64?
        func end(at index: UInt64) {
            guard let first = start else { return }
            body(PageRange(uncheckedStart: range.start.rawValue + first, count: index - first))
            start = nil
        }
        for (number, word) in bitmap.enumerated() {
            let base = UInt64(number) * 64
            switch word {
            case 0: end(at: base)
            case .max: if start == nil { start = base }
            default:
                for bit in 0..<64 as Range<UInt64> {
                    if word >> bit & 1 == 0 { end(at: base + bit) } else if start == nil { start = base + bit }
                }
            }
        }
        end(at: range.count)
    }
}

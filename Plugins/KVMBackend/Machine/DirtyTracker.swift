import CKVM
import Custody
import Synchronization

/// What has been written since it was last cleared: by the guest, collected from wherever KVM notes it (one bit for each page
/// of a slot, or a ring for each processor), and by this process, which says so itself.
///
/// What is collected is taken out of KVM's notes at once and kept here, so that a slot can come and go, a ring can be full,
/// and nothing that the guest writes later is lost with what is cleared. Slots are added and removed through this type,
/// under its lock: nobody asks KVM for the notes of a slot that is just going.
final class DirtyTracker: Sendable {
    private struct State {
        /// The pages that were dirty when they were last asked for, and have not been cleared since.
        var reported: PageRunMap<Bool>
        /// Pages that were found dirty after that.
        var fresh: PageRunMap<Bool>
        var slots: [UInt32: PageRange] = [:]
        var rings: [DirtyRing] = []
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
    /// Changed with the state's lock held.
    private let logging = Atomic(false)

    /// Turns the method on; before the first processor is made.
    init(_ method: Method, machine: borrowing VirtualMachine, bounds: PageRange) throws(KVMError) {
        switch method {
        case .none, .bitmap(isProtectionManual: false): break
        case .bitmap(isProtectionManual: true):
            try machine.enable(.manualDirtyLogProtect, UInt64(CKVM_DIRTY_LOG_MANUAL_PROTECT))
        case .ring(let entries):
            try machine.enable(.dirtyLogRing, UInt64(DirtyRing.bytes(entries)))
        }
        self.method = method
        self.machine = machine.descriptor.rawValue
        kernel = machine.descriptor.kernel
        let clean = PageRunMap(bounds: bounds, state: false)
        state = Locked(State(reported: clean, fresh: clean))
    }

    /// Takes a new processor's ring, where it has one.
    func add(_ processor: KVMProcessor) throws(KVMError) {
        guard case .ring(let entries) = method else { return }
        let ring = try processor.descriptor.dirtyRing(entries: entries)
        state.withLock { $0.rings.append(ring) }
    }

    /// Whether what is written is noted.
    var isLogging: Bool { logging.load(ordering: .acquiring) }

    // MARK: Slots

    /// Has `body` add a slot, with the flags that it is to have.
    func add(_ slot: UInt32, _ range: PageRange, _ body: (UInt32) throws(KVMError) -> Void) throws(KVMError) {
        try state.withLock { state throws(KVMError) in
            try body(isLogging ? UInt32(CKVM_MEM_LOG_DIRTY_PAGES) : 0)
            if isLogging { state.slots[slot] = range }
        }
    }

    /// Collects what a slot knows, has `body` remove it, and forgets it.
    func remove(_ slot: UInt32, _ body: () throws(KVMError) -> Void) throws(KVMError) {
        try state.withLock { state throws(KVMError) in
            if let range = state.slots[slot] { try harvest([slot: range], &state) }
            try body()
            state.slots[slot] = nil
        }
    }

    // MARK: From the start to the end

    /// Has `body` turn the logging of slots on. Then all pages are clean, and every slot that is added logs. While no
    /// processor is in the guest.
    func start(
        _ slots: [UInt32: PageRange],
        _ body: () throws(KVMError) -> Void
    ) throws(KVMError) {
        try state.withLock { state throws(KVMError) in
            // First, so that a write of the host's that comes meanwhile waits for the lock, and is noted.
            logging.store(true, ordering: .sequentiallyConsistent)
            do throws(KVMError) {
                try body()
                // A slot may have been logging all along, because it could not be turned off: that is old.
                try harvest(slots, &state)
            } catch {
                logging.store(false, ordering: .sequentiallyConsistent)
                throw error
            }
            state.slots = slots
            state.reported.set(state.reported.bounds, to: false)
            state.fresh = state.reported
        }
    }

    /// Forgets everything.
    func stop() {
        state.withLock { state in
            logging.store(false, ordering: .sequentiallyConsistent)
            state.slots = [:]
        }
    }

    /// Collects, and returns the pages that are dirty; `nil` where nothing is noted.
    func collect() throws(KVMError) -> PageRunMap<Bool>? {
        try state.withLock { state throws(KVMError) in
            guard isLogging else { return nil }
            try harvest(state.slots, &state)
            for run in state.fresh.runs where run.state { state.reported.set(run.range, to: true) }
            state.fresh.set(state.fresh.bounds, to: false)
            return state.reported
        }
    }

    /// Collects the rings alone: one of them is full.
    func collectRings() throws(KVMError) {
        try state.withLock { state throws(KVMError) in try drainRings(&state) }
    }

    /// Pages are clean that were reported; `false` where nothing is noted. What has been found since is not forgotten.
    func clear(_ range: PageRange) -> Bool {
        state.withLock { state in
            guard isLogging else { return false }
            state.reported.set(range, to: false)
            return true
        }
    }

    /// Notes that this process has written bytes of RAM, or dropped them. After it has: a page that is noted and copied
    /// before that would be a copy of what was there before.
    @inline(__always)
    func note(_ address: UInt64, _ byteCount: Int) {
        guard method != .none else { return }
        // What was written is seen by everybody before it is looked whether anybody wants to know.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        if isLogging { noteNow(address, byteCount) }
    }

    private func noteNow(_ address: UInt64, _ byteCount: Int) {
        let page = PageSize.base.bytes
        let first = address / page
        let last = (address &+ UInt64(byteCount) &- 1) / page
        state.withLock { state in
            guard isLogging, byteCount > 0, last >= first else { return }
            let range = PageRange(uncheckedStart: first, count: last - first + 1)
            if state.fresh.bounds.contains(range) { state.fresh.set(range, to: true) }
        }
    }

    // MARK: KVM's notes

    /// Takes what KVM has noted of some slots out of its notes.
    private func harvest(_ slots: [UInt32: PageRange], _ state: inout State) throws(KVMError) {
        switch method {
        case .none: return
        case .ring: try drainRings(&state)
        case .bitmap(let isProtectionManual):
            for (slot, range) in slots { try takeBitmap(of: slot, range, isProtectionManual, &state) }
        }
    }

    private func drainRings(_ state: inout State) throws(KVMError) {
        // One after the other: a ring's entries are used while the state is changed.
        for ring in state.rings {
            ring.drain { slot, page in
                guard let range = state.slots[slot], page < range.count else { return }
                state.fresh.set(PageRange(uncheckedStart: range.start.rawValue + page, count: 1), to: true)
            }
        }
        try kernel.call(.ioctl(machine, .resetDirtyRings, argument: 0))
    }

    /// Gets a slot's bits, and has KVM forget exactly those. They are kept before KVM forgets them.
    private func takeBitmap(
        of slot: UInt32,
        _ range: PageRange,
        _ isProtectionManual: Bool,
        _ state: inout State
    ) throws(KVMError) {
        var bitmap = [UInt64](repeating: 0, count: Int((range.count + 63) / 64))
        var span = bitmap.mutableSpan
        try unsafe span.withUnsafeMutableBytes { bytes throws(KVMError) in
            var get = ckvm_dirty_log(slot: slot, padding: 0, bitmap: UInt64(UInt(bitPattern: bytes.baseAddress)))
            try request(.getDirtyLog, &get)
        }
        DirtyTracker.forEachRun(of: bitmap, in: range) { state.fresh.set($0, to: true) }
        guard isProtectionManual else { return }
        try unsafe bitmap.span.withUnsafeBytes { bytes throws(KVMError) in
            let address = UInt64(UInt(bitPattern: bytes.baseAddress))
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

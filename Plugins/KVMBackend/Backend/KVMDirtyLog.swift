import CKVM
public import Custody

/// The pages that the guest has written: KVM's log of every slot of RAM.
///
/// Slots come and go while it is on (a page of the host's has none): what a slot knows is taken before it goes, and a new one
/// logs from its beginning.
struct KVMDirtyLog: DirtyLog {
    let backend: KVMBackend
    private var tracker: DirtyTracker { backend.tracker }

    /// Turns logging on in every slot, or in none.
    func start() throws(BackendError) {
        // No slot comes or goes while the processors are kept out, and nothing is written.
        try backend.gate.withProcessorsOut { () throws(BackendError) in
            guard !tracker.isLogging else {
                throw BackendError(.invalidArgument, "the dirty log has been started already")
            }
            let slots = backend.ledger.withLock { $0.slots.slots }
            let ranges = Dictionary(uniqueKeysWithValues: slots.map { ($0.number, $0.range) })
            do throws(KVMError) {
                try tracker.start(ranges) { () throws(KVMError) in
                    for slot in slots { try setLogging(true, slot) }
                }
            } catch {
                // One that goes on logging costs time and nothing else; the next start knows of it.
                for slot in slots { try? setLogging(false, slot) }
                throw BackendError(.system, "the dirty log cannot be started; nothing is noted", cause: error)
            }
        }
    }

    /// Collects what KVM has noted. Where it notes in rings the processors leave the guest for it: hardware may hold entries
    /// back until then.
    func collect() throws(BackendError) -> PageRunMap<Bool> {
        guard case .ring = tracker.method else { return try collectNow() }
        return try backend.gate.withProcessorsOut { () throws(BackendError) in try collectNow() }
    }

    private func collectNow() throws(BackendError) -> PageRunMap<Bool> {
        let pages: PageRunMap<Bool>?
        do throws(KVMError) { pages = try tracker.collect() } catch {
            throw BackendError(.system, "the dirty log cannot be collected; no page is forgotten", cause: error)
        }
        guard let pages else { throw notStarted() }
        return pages
    }

    /// Forgets pages that were reported.
    func clear(_ range: PageRange) throws(BackendError) {
        guard tracker.clear(range) else { throw notStarted() }
    }

    /// Turns logging off, in as many slots as KVM lets it.
    func stop() throws(BackendError) {
        try backend.gate.withProcessorsOut { () throws(BackendError) in
            guard tracker.isLogging else { return }
            tracker.stop()
            var failure: KVMError?
            for slot in backend.ledger.withLock({ $0.slots.slots }) {
                do throws(KVMError) { try setLogging(false, slot) } catch { failure = failure ?? error }
            }
            guard let failure else { return }
            throw BackendError(.system, "a slot goes on logging, and nobody asks it", cause: failure)
        }
    }

    /// Changes the flags of a slot. It is not replaced for that: its memory stays the same.
    private func setLogging(
        _ isLogging: Bool,
        _ slot: (number: UInt32, range: PageRange, backing: Backing)
    ) throws(KVMError) {
        try backend.machine.ram.bind(
            slot.number,
            to: slot.range,
            offset: backend.offset(of: slot.range.start),
            slot.backing,
            flags: isLogging ? UInt32(CKVM_MEM_LOG_DIRTY_PAGES) : 0,
            in: backend.machine.virtualMachine
        )
    }

    private func notStarted() -> BackendError {
        BackendError(.invalidArgument, "the dirty log has not been started")
    }
}

extension KVMBackend {
    /// The log of written pages, where the mode's slots can have one and it was not turned off when this was made.
    public var dirtyLog: (any DirtyLog)? { tracker.method == .none ? nil : KVMDirtyLog(backend: self) }
}

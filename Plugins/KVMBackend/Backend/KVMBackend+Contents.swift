import CKVM
public import Custody
import SystemPackage

// The memory behind the pages, whoever owns them.
extension KVMBackend: MemoryPopulator {
    /// Gives pages their memory: this back end itself.
    public var populator: (any MemoryPopulator)? { self }

    /// Drops the pages from the memory that their owners find them in; they read zeroes then.
    ///
    /// Whether memory has gone is not looked for here: an owner may touch a page again at once.
    public func discardContents(of range: PageRange) throws(BackendError) {
        try checkIsRAM(range)
        try forEachRun(of: range) { pages, visibility, rest throws(BackendError) in
            // What was there is gone: a copy of it that somebody has is out of date.
            defer { tracker.note(pages.range.address.rawValue, Int(clamping: pages.length)) }
            do throws(KVMError) {
                try machine.ram.memory(of: visibility).discard(offset: pages.offset, length: pages.length)
            } catch {
                throw BackendError(
                    .system,
                    "the pages cannot be dropped, from this range on; those before it are gone",
                    range: rest,
                    cause: error
                )
            }
        }
    }

    /// Gives pages their memory, in the file that their owner finds them in: by `KVM_PRE_FAULT_MEMORY` where KVM has it,
    /// which fills the guest's page tables too, and else in the file alone.
    public func populate(_ range: PageRange) throws(BackendError) {
        try checkIsRAM(range)
        try forEachRun(of: range) { pages, visibility, rest throws(BackendError) in
            let hasSlot = ledger.withLock { !$0.slots.backings.isUniform(pages.range, .none) }
            if canPreFault, hasSlot, try preFault(pages.range, rest) { return }
            do throws(KVMError) {
                try machine.ram.memory(of: visibility).populate(offset: pages.offset, length: pages.length)
            } catch { throw KVMBackend.noMemory(rest, error) }
        }
    }

    /// Gives `body` each run of pages that are in one file, and the pages from there on.
    private func forEachRun(
        of range: PageRange,
        _ body: (FilePages, Visibility, PageRange) throws(BackendError) -> Void
    ) throws(BackendError) {
        var rest: PageRange? = range
        while let part = rest {
            let end = PageNumber(
                part.start.rawValue + machine.privatePages.runLength(from: part.start, limit: part.count)
            )
            guard let run = part.prefix(before: end) else { return }
            try body(pages(run), visibility(of: run.start), part)
            rest = part.suffix(from: end)
        }
    }

    // MARK: Pre-faulting

    /// How many bytes are pre-faulted while the processors are kept out of the guest, at most.
    private static let preFaultUnit = 32 * PageSize.large.bytes

    /// Fills the guest's page tables for pages, through the first processor.
    ///
    /// - Returns: `false` where KVM cannot for this kind of guest or these pages, and the file has to do.
    private func preFault(_ range: PageRange, _ rest: PageRange) throws(BackendError) -> Bool {
        guard let processor = processors.first else { return false }
        var address = range.address.rawValue
        var left = range.byteCount
        var patience = PreFaultPatience()
        while left > 0 {
            let size = min(left, KVMBackend.preFaultUnit)
            // The ioctl would wait for a processor that is in the guest, so that is taken out first.
            let answer = try gate.withProcessorsOut { () throws(BackendError) -> Result<UInt64, KVMError> in
                var request = ckvm_pre_fault_memory()
                request.gpa = address
                request.size = size
                do throws(KVMError) { try processor.preFault(&request) } catch { return .failure(error) }
                return .success(request.gpa &- address)
            }
            switch answer {
            case .success(let done):
                // A kernel that says ‘done’ and has done nothing, or more than it was asked for, is not believed.
                guard done > 0, done <= size else { return false }
                address += done
                left -= done
                patience = PreFaultPatience()
            case .failure(let error):
                guard error.errno != .notSupportedOnSocket, error.errno != .noSuchFileOrDirectory else { return false }
                guard patience.waits(after: error.errno) else { throw KVMBackend.noMemory(rest, error) }
            }
        }
        return true
    }

    private static func noMemory(_ rest: PageRange, _ error: KVMError) -> BackendError {
        BackendError(
            error.errno == .noMemory ? .resourcesExhausted : .system,
            "the pages cannot be given memory, from this range on; those before it have theirs",
            range: rest,
            cause: error
        )
    }
}

/// How often a pre-fault that made no progress is asked for again: a slot that changes does not stop it, a kernel that never
/// gets on does.
private struct PreFaultPatience {
    private var attempts = 0

    /// Waits a little after an error that passes; `false` for one that does not, and when it has lasted too long.
    mutating func waits(after errno: Errno) -> Bool {
        guard errno == .resourceTemporarilyUnavailable, attempts < 1000 else { return false }
        attempts += 1
        _ = Monitor(()).wait(for: .microseconds(100)) { _ -> Void? in nil }
        return true
    }
}

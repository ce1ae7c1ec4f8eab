import Custody

/// How the guest's writes are to be told, as a configuration has it.
public enum DirtyLogChoice: Sendable, Hashable {
    /// Not at all.
    case none
    /// One bit for each page of a slot.
    case bitmap
    /// A ring of so many entries for each processor: a power of two, at least 256.
    case ring(entries: Int)

    /// The number of a ring's entries where nothing else is said: 64 KiB for each processor.
    public static let defaultRingEntries = 4096

    /// The numbers of entries that KVM takes on every machine: a page of them is the least, a mebibyte the most.
    static let ringEntries = 256...65536

    /// What a mode can do: a bitmap, or nothing.
    static func `default`(_ mode: KVMMode) -> DirtyLogChoice { mode.slotsCanLog ? .bitmap : .none }

    /// How KVM is to be asked for it.
    ///
    /// - Throws: `BackendError` with code `unsupported` for a mode whose slots cannot log, with `unavailable` where this
    ///   kernel has no rings of that size, with `invalidArgument` for a number of entries that there cannot be.
    func method(in mode: KVMMode, _ features: KVMFeatures) throws(BackendError) -> DirtyTracker.Method {
        guard self != .none else { return .none }
        guard mode.slotsCanLog else {
            throw BackendError(
                .unsupported,
                "the mode ‘\(mode.rawValue)’ has no dirty log: KVM does not log the writes to a slot with a guest_memfd; "
                    + "the mode ‘revoked’ has one"
            )
        }
        guard case .ring(let entries) = self else {
            return .bitmap(isProtectionManual: features[.manualDirtyLogProtect] & 1 != 0)
        }
        guard DirtyLogChoice.ringEntries.contains(entries), entries.nonzeroBitCount == 1 else {
            throw BackendError(
                .invalidArgument,
                "a dirty ring of \(entries) entries: it takes a power of two from \(DirtyLogChoice.ringEntries.lowerBound) "
                    + "to \(DirtyLogChoice.ringEntries.upperBound)"
            )
        }
        guard DirtyRing.bytes(entries) <= features[.dirtyLogRing] else {
            throw BackendError(
                .unavailable,
                "a dirty ring of \(entries) entries takes \(DirtyRing.bytes(entries)) bytes, and "
                    + "KVM_CAP_DIRTY_LOG_RING_ACQ_REL is \(features[.dirtyLogRing])"
            )
        }
        return .ring(entries: entries)
    }

    /// What is declared for it.
    var capability: Capabilities.DirtyLog {
        switch self {
        case .none: .none
        case .bitmap: .bitmap
        case .ring: .ring
        }
    }
}

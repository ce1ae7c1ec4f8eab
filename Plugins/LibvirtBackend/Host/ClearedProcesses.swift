#if Libvirt
import Custody

/// The processes that are known not to have a file: those of a list at which everybody was looked at and nobody had it, as long
/// as nobody opens it.
///
/// Who has not a file gets it by opening it, which the kernel tells; from who has it; or by birth from who has it. Where nobody
/// but this process and QEMU has had it, only processes that have come since are left. After another process has opened it nobody
/// is cleared: a descriptor may be on its way to one that was looked at. That ends when the kernel says that nobody has one.
final class ClearedProcesses: Sendable {
    /// What was known at one time.
    struct Standing: Sendable, Hashable {
        /// The number of the list up to which all are cleared; 0 for nobody.
        let list: UInt64
        /// How often the file had been opened.
        let opens: UInt64
    }

    private struct State {
        var isWatched = false
        /// Whether another process may have a descriptor that was got by an open.
        var hasStrangers = true
        var list: UInt64 = 0
        var opens: UInt64 = 0
    }

    private let state = Locked(State())

    /// What is known now.
    var standing: Standing { state.withLock { Standing(list: $0.list, opens: $0.opens) } }

    /// The kernel tells of opens from now on.
    func beginWatching() { state.withLock { $0.isWatched = true } }

    /// The kernel tells of opens no more.
    func endWatching() {
        state.withLock { state in
            state.isWatched = false
            state.list = 0
        }
    }

    /// Somebody has opened the file, or may have.
    func noteOpening() {
        state.withLock { state in
            state.opens += 1
            state.hasStrangers = true
            state.list = 0
        }
    }

    /// The kernel says that nobody but this process has a descriptor that was got by an open, unless it has been opened since
    /// `standing`.
    func noteThatNobodyHasIt(since standing: Standing) {
        state.withLock { if $0.opens == standing.opens { $0.hasStrangers = false } }
    }

    /// Somebody has it, and may hand it on.
    func forget() { state.withLock { $0.list = 0 } }

    /// Clears all processes of a list.
    ///
    /// - Returns: `false` where the file has been opened since `standing`: nothing is known.
    func clear(upTo list: UInt64, since standing: Standing) -> Bool {
        state.withLock { state in
            guard state.opens == standing.opens else { return false }
            if state.isWatched, !state.hasStrangers { state.list = list }
            return true
        }
    }
}

#endif

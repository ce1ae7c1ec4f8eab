#if Libvirt
import CLibvirtHost
import Custody
import Glibc
import Synchronization

/// Keeps other processes from opening memory files that they may not have, and hears of it when they let go of one.
///
/// Who may, has fanotify(7) ask before each open; everybody else takes the files' permissions away, which stops all but root.
/// The last close of a file by a process, its last `munmap` included, is an event of inotify(7).
final class HostSentry: Sendable {
    /// What stops others from opening a file.
    enum Means: Sendable {
        /// The kernel asks first, and no process but QEMU is let in.
        case permission
        /// The files have no permissions.
        case mode
    }

    /// What stops others.
    let means: Means
    private let gate: any CallGate
    /// `nil` when it is over. The thread has them, too, and they are closed when both are done with them.
    private let ears: Locked<Ears?>
    private let exempt = Atomic<Int32>(0)
    private let listeners = Locked(Listeners())

    /// Who wants to know of a file.
    private struct Listener: Sendable {
        let cleared: ClearedProcesses
        let whenLetGo: @Sendable () -> Void
        let whenChanged: @Sendable () -> Void
    }

    /// By the kernel's names in its events.
    private struct Listeners {
        var byWatch: [Int32: Listener] = [:]
        var byFile: [File: Listener] = [:]
    }

    /// A file by the kernel's name in its events.
    private struct File: Hashable {
        private let bytes: [UInt8]
        init(_ name: clibvirt_name) { bytes = unsafe withUnsafeBytes(of: name) { unsafe Array($0) } }
    }

    /// Starts the thread that listens.
    init(gate: any CallGate) throws(BackendError) {
        self.gate = gate
        let ears = try Ears(gate: gate)
        self.ears = Locked(ears)
        means = ears.guardian < 0 ? .mode : .permission
        try Thread.start { [weak self] in HostSentry.listen(ears) { self } }
    }

    deinit { close() }

    /// Stops listening: nobody is kept out any more.
    func close() {
        let ears = ears.withLock { ears in
            defer { ears = nil }
            return ears
        }
        guard let ears else { return }
        for listener in listeners.withLock({ $0.byWatch.values }) { listener.cleared.endWatching() }
        // From now on nobody asks. The descriptor may outlive this: a child of this process has it until it is a program.
        if ears.guardian >= 0 { clibvirt_guard_flush(ears.guardian) }
        _ = clibvirt_bell_ring(ears.stop.rawValue)
    }

    /// Names the process that runs the guest: it is let at every file.
    func exempt(_ process: Int32) { exempt.store(process, ordering: .relaxed) }

    /// Calls `whenLetGo`, on the thread that listens, whenever a process has closed a file for the last time; and
    /// `whenChanged` when a process that is neither this one nor QEMU has changed it by a call while others are kept from opening
    /// it, where the kernel tells who it was.
    func watch(
        _ file: ModuleFile,
        whenLetGo: @escaping @Sendable () -> Void,
        whenChanged: @escaping @Sendable () -> Void = {}
    ) throws(HostError) {
        guard let ears = ears.withLock({ $0 }) else { return }
        let descriptor = file.descriptor.rawValue
        let listener = Listener(cleared: file.cleared, whenLetGo: whenLetGo, whenChanged: whenChanged)
        let number = Int32(
            try gate.host(.watch, file.path) { Int(clibvirt_watch_add(ears.watch.rawValue, descriptor)) }
        )
        listeners.withLock { $0.byWatch[number] = listener }
        if means == .permission {
            var name = clibvirt_name()
            try gate.host(.name, file.path) { unsafe Int(clibvirt_name_of(descriptor, &name)) }
            let key = File(name)
            listeners.withLock { $0.byFile[key] = listener }
            try gate.host(.listen, file.path) { Int(clibvirt_changes_mark_opens(ears.changes, descriptor)) }
        }
        file.cleared.beginWatching()
    }

    /// Lets nobody open a file from now on.
    func deny(_ file: ModuleFile) throws(HostError) { try set(file, isOpen: false) }

    /// Lets a file be opened again.
    func admit(_ file: ModuleFile) throws(HostError) { try set(file, isOpen: true) }

    private func set(_ file: ModuleFile, isOpen: Bool) throws(HostError) {
        guard means == .permission else { return try file.setMode(isOpen: isOpen) }
        // When it is over the kernel has forgotten all marks.
        guard let ears = ears.withLock({ $0 }) else { return }
        let descriptor = file.descriptor.rawValue
        try HostSentry.mark { () throws(HostError) in
            try gate.host(.deny, file.path) { Int(clibvirt_guard_mark(ears.guardian, descriptor, isOpen ? 0 : 1)) }
        }
        try HostSentry.mark { () throws(HostError) in
            try gate.host(.listen, file.path) { Int(clibvirt_changes_mark(ears.changes, descriptor, isOpen ? 0 : 1)) }
        }
    }

    /// Adds or removes a mark; one that is not there need not be removed.
    private static func mark(_ body: () throws(HostError) -> Void) throws(HostError) {
        do throws(HostError) { try body() } catch {
            guard error.errno == ENOENT else { throw error }
        }
    }

    /// Takes what the kernel has told until now: who has opened files is noted, and whoever wants to know is called.
    ///
    /// - Returns: `false` where it tells nothing, because it is over or cannot be asked.
    func hear() -> Bool {
        // Held over both: whoever comes second finds everything noted that the first one has taken.
        ears.withLock { ears in
            guard let ears else { return false }
            return hearOfChanges(ears.changes) && hearOfOpens(ears.watch.rawValue)
        }
    }

    private func hearOfChanges(_ group: Int32) -> Bool {
        guard group >= 0 else { return true }
        var changes = [clibvirt_change](repeating: clibvirt_change(), count: 256)
        while true {
            let exempt = exempt.load(ordering: .relaxed)
            let count = unsafe clibvirt_changes_next(group, exempt, &changes, Int32(changes.count))
            guard count >= 0 || errno == EINTR else { return HostSentry.isOver(errno) }
            for change in changes.prefix(max(0, Int(count))) {
                let all = listeners.withLock { listeners in
                    change.lost != 0
                        ? Array(listeners.byFile.values) : [listeners.byFile[File(change.name)]].compactMap(\.self)
                }
                for listener in all {
                    if change.opened != 0 || change.lost != 0 { listener.cleared.noteOpening() }
                    if change.changed != 0 || change.lost != 0 { listener.whenChanged() }
                }
            }
        }
    }

    private func hearOfOpens(_ watch: Int32) -> Bool {
        var events = [clibvirt_event](repeating: clibvirt_event(), count: 64)
        while true {
            let count = unsafe clibvirt_watch_next(watch, &events, Int32(events.count))
            guard count >= 0 || errno == EINTR else { return HostSentry.isOver(errno) }
            for event in events.prefix(max(0, Int(count))) {
                let all = listeners.withLock { listeners in
                    event.watch < 0
                        ? Array(listeners.byWatch.values) : [listeners.byWatch[event.watch]].compactMap(\.self)
                }
                for listener in all {
                    // Who it was is said by the other group, where there is one.
                    if means == .mode, event.opened != 0 || event.watch < 0 { listener.cleared.noteOpening() }
                    if event.closed != 0 || event.watch < 0 { listener.whenLetGo() }
                }
            }
        }
    }

    /// Whether there is nothing more to read, rather than something wrong.
    private static func isOver(_ error: Int32) -> Bool { error == EAGAIN }

    /// The thread. It opens no file: it would have to answer itself.
    private static func listen(_ ears: Ears, _ sentry: () -> HostSentry?) {
        while true {
            // poll(2) passes a negative descriptor over.
            var waiting = [ears.stop.rawValue, ears.watch.rawValue, ears.guardian, ears.changes]
                .map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            _ = unsafe poll(&waiting, nfds_t(waiting.count), -1)
            guard waiting[0].revents == 0, let sentry = sentry() else { return answerLate(ears.guardian) }
            if waiting[2].revents != 0 {
                _ = clibvirt_guard_answer(waiting[2].fd, sentry.exempt.load(ordering: .relaxed))
            }
            if waiting[1].revents != 0 || waiting[3].revents != 0 { _ = sentry.hear() }
        }
    }

    /// Answers who had begun to ask when it ended: without an answer an open waits as long as anybody has the descriptor.
    private static func answerLate(_ guardian: Int32) {
        guard guardian >= 0 else { return }
        var waiting = pollfd(fd: guardian, events: Int16(POLLIN), revents: 0)
        while unsafe poll(&waiting, 1, 1000) > 0 { _ = clibvirt_guard_answer(guardian, 0) }
    }
}

extension HostSentry {
    /// What the kernel tells by.
    private final class Ears: Sendable {
        /// An eventfd(2): somebody wants the thread to end.
        let stop: OwnedFile
        /// An inotify(7) descriptor.
        let watch: OwnedFile
        /// A fanotify(7) group, where this process may have one and the kernel asks; else −1.
        let guardian: Int32
        /// A fanotify(7) group that is told of changes, where there is the other one; else −1.
        let changes: Int32

        init(gate: any CallGate) throws(BackendError) {
            do throws(HostError) {
                stop = try OwnedFile(.bell, "eventfd", gate: gate) { clibvirt_bell_open() }
                watch = try OwnedFile(.watch, "inotify", gate: gate) { clibvirt_watch_open() }
                guardian = try Ears.guardian(gate)
                changes = guardian < 0 ? -1 : try Ears.changes(gate, beside: guardian)
            } catch {
                throw BackendError(.resourcesExhausted, "the memory files cannot be watched", cause: error)
            }
        }

        deinit { for group in [guardian, changes] where group >= 0 { Glibc.close(group) } }

        private static func changes(_ gate: any CallGate, beside guardian: Int32) throws(HostError) -> Int32 {
            do throws(HostError) {
                return Int32(try gate.host(.sentry, "fanotify") { Int(clibvirt_changes_open()) })
            } catch {
                Glibc.close(guardian)
                throw error
            }
        }

        private static func guardian(_ gate: any CallGate) throws(HostError) -> Int32 {
            do throws(HostError) {
                return Int32(try gate.host(.sentry, "fanotify") { Int(clibvirt_guard_open()) })
            } catch {
                // Not for this user, or not by this kernel. Anything else is no reason to make do with less.
                guard [EPERM, ENOSYS, EINVAL].contains(error.errno) else { throw error }
                return -1
            }
        }
    }
}

#endif

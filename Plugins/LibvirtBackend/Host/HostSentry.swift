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
    private let watch: Int32
    private let guardian: Int32
    private let stop: Int32
    private let exempt = Atomic<Int32>(0)
    private let watched = Locked<[Int32: @Sendable () -> Void]>([:])

    /// Starts the thread that listens.
    init(gate: any CallGate) throws(BackendError) {
        self.gate = gate
        do throws(HostError) {
            watch = Int32(try gate.host(.watch, "inotify") { Int(clibvirt_watch_open()) })
        } catch {
            throw BackendError(.resourcesExhausted, "no file can be watched", cause: error)
        }
        do throws(HostError) {
            guardian = Int32(try gate.host(.sentry, "fanotify") { Int(clibvirt_guard_open()) })
        } catch {
            guardian = -1
        }
        means = guardian >= 0 ? .permission : .mode
        stop = clibvirt_bell_open()
        let (watch, guardian, stop) = (watch, self.guardian, stop)
        do throws(BackendError) {
            try Thread.start { [weak self] in
                HostSentry.listen(watch, guardian, stop) { self }
                for descriptor in [watch, guardian, stop] where descriptor >= 0 { Glibc.close(descriptor) }
            }
        } catch {
            for descriptor in [watch, guardian, stop] where descriptor >= 0 { Glibc.close(descriptor) }
            throw error
        }
    }

    deinit { close() }

    /// Stops listening: nobody is kept out any more.
    func close() { _ = clibvirt_bell_ring(stop) }

    /// Names the process that runs the guest: it is let at every file.
    func exempt(_ process: Int32) { exempt.store(process, ordering: .relaxed) }

    /// Calls `body`, on the thread that listens, whenever a process has closed a file for the last time.
    func watch(_ file: ModuleFile, _ body: @escaping @Sendable () -> Void) throws(HostError) {
        let number = Int32(
            try gate.host(.watch, file.path) { Int(clibvirt_watch_add(watch, file.descriptor.rawValue)) }
        )
        watched.withLock { $0[number] = body }
    }

    /// Lets nobody open a file from now on.
    func deny(_ file: ModuleFile) throws(HostError) {
        switch means {
        case .permission:
            try gate.host(.deny, file.path) { Int(clibvirt_guard_mark(guardian, file.descriptor.rawValue, 1)) }
        case .mode: try file.setMode(isOpen: false)
        }
    }

    /// Lets a file be opened again.
    func admit(_ file: ModuleFile) throws(HostError) {
        switch means {
        case .permission:
            try gate.host(.deny, file.path) { Int(clibvirt_guard_mark(guardian, file.descriptor.rawValue, 0)) }
        case .mode: try file.setMode(isOpen: true)
        }
    }

    /// The thread. It opens no file: it would have to answer itself.
    private static func listen(_ watch: Int32, _ guardian: Int32, _ stop: Int32, _ sentry: () -> HostSentry?) {
        var numbers = [Int32](repeating: 0, count: 64)
        while true {
            var waiting = [watch, guardian, stop].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            _ = unsafe poll(&waiting, nfds_t(waiting.count), -1)
            guard waiting[2].revents == 0, let sentry = sentry() else { return }
            if waiting[1].revents != 0 {
                _ = clibvirt_guard_answer(guardian, sentry.exempt.load(ordering: .relaxed))
            }
            guard waiting[0].revents != 0 else { continue }
            let count = unsafe clibvirt_watch_next(watch, &numbers, Int32(numbers.count))
            let called = Set(numbers.prefix(max(0, Int(count))))
            for body in sentry.watched.withLock({ watched in called.compactMap { watched[$0] } }) { body() }
        }
    }
}

#endif

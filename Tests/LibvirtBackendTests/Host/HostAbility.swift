#if Libvirt
import CHolders
import Custody
import Glibc
import Testing

/// What not every host lets every user do, found out by doing it: a test that needs it is skipped only where that fails.
enum HostAbility {
    static let hasOverlays = cholders_can_overlay() != 0
    static let hasMounts = onAThread { unsafe cholders_hide("/proc/sys/kernel", "/proc/sys/fs") == 0 } ?? false

    /// What `body` says on a thread of its own; `nil` where there is no thread.
    static func onAThread<Result: Sendable>(_ body: @escaping @Sendable () -> Result) -> Result? {
        let result = Monitor(Result?.none)
        guard (try? Thread.start { result.update { $0 = body() } }) != nil else { return nil }
        return result.wait { $0 }
    }
    static let hasRings = cholders_can_ring() != 0
    static let hasLoopDevices: Bool = {
        let control = unsafe open("/dev/loop-control", O_RDWR | O_CLOEXEC)
        guard control >= 0 else { return false }
        close(control)
        return true
    }()
}

extension Trait where Self == ConditionTrait {
    /// Skips where this user can mount no overlay, not even in a user namespace.
    static var needsOverlays: Self { .enabled(if: HostAbility.hasOverlays, "this user can mount no overlay here") }
    /// Skips where this user can mount nothing among the mounts of this process.
    static var needsMounts: Self { .enabled(if: HostAbility.hasMounts, "this user can mount nothing here") }
    /// Skips where `io_uring_setup(2)` fails.
    static var needsRings: Self { .enabled(if: HostAbility.hasRings, "there is no io_uring for this user here") }
    /// Skips where `/dev/loop-control` cannot be opened.
    static var needsLoopDevices: Self {
        .enabled(if: HostAbility.hasLoopDevices, "this user may not open /dev/loop-control")
    }
}
#endif

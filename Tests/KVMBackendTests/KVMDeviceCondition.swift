import Glibc
import Testing

/// Whether this user has a KVM to test with. Only a device that is absent or may not be opened is a reason to skip, and it is
/// said aloud.
enum KVMDeviceCondition {
    static let isUsable: Bool = {
        let isUsable = unsafe access("/dev/kvm", R_OK | W_OK) == 0
        if !isUsable { print("The KVM tests are skipped: there is no /dev/kvm that this user may open.") }
        return isUsable
    }()
}

extension Trait where Self == ConditionTrait {
    /// Skips where there is no `/dev/kvm` to open, and nowhere else.
    static var needsKVM: Self {
        .enabled(if: KVMDeviceCondition.isUsable, "there is no /dev/kvm that this user may open")
    }
}

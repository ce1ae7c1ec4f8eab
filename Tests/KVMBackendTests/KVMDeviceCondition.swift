import Glibc
import Testing

/// Whether this machine has a KVM to test with. Only the device's absence is a reason to skip, and it is said aloud.
enum KVMDeviceCondition {
    static let isPresent: Bool = {
        let isPresent = unsafe access("/dev/kvm", F_OK) == 0
        if !isPresent { print("The KVM tests are skipped: there is no /dev/kvm on this machine.") }
        return isPresent
    }()
}

extension Trait where Self == ConditionTrait {
    /// Skips where there is no `/dev/kvm`, and nowhere else.
    static var needsKVM: Self { .enabled(if: KVMDeviceCondition.isPresent, "there is no /dev/kvm on this machine") }
}

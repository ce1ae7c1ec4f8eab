import CustodyTestSupport
import Testing

extension Trait where Self == ConditionTrait {
    /// Skips where there is no `/dev/kvm` to open, and nowhere else.
    static var needsKVM: Self { .enabled(if: TestHost.hasKVM, "there is no /dev/kvm that this user may open") }
}

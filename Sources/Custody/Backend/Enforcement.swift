/// Who stops a party from touching a page that its ownership denies.
public enum Enforcement: String, Sendable, Hashable, CaseIterable, Codable {
    /// The kernel or the hardware: no code of the host's user space can reach the page.
    case kernel
    /// This process, by its page tables or its own checks: another process with the same memory is not stopped.
    case process
    /// Nobody; the ownership is a convention.
    case none
}

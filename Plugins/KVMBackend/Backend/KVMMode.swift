/// How ownership is made true with KVM.
public enum KVMMode: String, Sendable, Hashable, CaseIterable {
    /// Two guest_memfds: private pages live in a file that the host can map and not fault; memory slots are bound anew.
    case dual
    /// One memory file, of which the host's mapping is revoked (`PROT_NONE`) while a page is private.
    case revoked
    /// The virtual machine's memory attributes (`KVM_SET_MEMORY_ATTRIBUTES`) with two backings.
    case attributes
    /// The guest_memfd's own memory attributes (`KVM_SET_MEMORY_ATTRIBUTES2`), in place.
    case inPlace = "in-place"

    /// The modes in the order in which `auto` looks for one: those in which the kernel stops the host come first, and
    /// among them the one that has met real hardware.
    static let byPreference: [KVMMode] = [.dual, .attributes, .inPlace, .revoked]
}

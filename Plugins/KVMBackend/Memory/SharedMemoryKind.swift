/// What memory of this process shared pages have in the mode ``KVMMode/attributes``.
public enum SharedMemoryKind: String, Sendable, Hashable, CaseIterable {
    /// A memory file, which can be given to other processes.
    case memfd
    /// Pages of this process alone.
    case anonymous
}

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What this process may do with pages of a mapping.
enum HostProtection: Sendable, Hashable {
    /// Nothing: an access is a SIGSEGV.
    case none
    /// Read and write.
    case readWrite

    /// The `PROT_` bits of `mprotect(2)`.
    var rawValue: Int32 {
        switch self {
        case .none: PROT_NONE
        case .readWrite: PROT_READ | PROT_WRITE
        }
    }
}

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What the kernel is told of a mapping's future: whom it is to be kept from.
package enum MemoryAdvice: Sendable, Hashable, CaseIterable {
    /// Children that are forked later have no such mapping.
    case dontFork
    /// A core dump leaves it out.
    case dontDump

    /// The number of `madvise(2)`.
    var rawValue: Int32 {
        switch self {
        case .dontFork: MADV_DONTFORK
        case .dontDump: MADV_DONTDUMP
        }
    }

    /// The name in the manual page.
    var name: String {
        switch self {
        case .dontFork: "MADV_DONTFORK"
        case .dontDump: "MADV_DONTDUMP"
        }
    }
}

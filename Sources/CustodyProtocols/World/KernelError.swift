/// A request that the kernel would refuse.
public struct KernelError: Error, Hashable, Sendable {
    /// The kernel's result.
    public let result: KernelResult

    /// The error with which the kernel answers `result`.
    public init(result: KernelResult) { self.result = result }

    /// Checks a request to map the file into a host address space: only a shared mapping is possible.
    ///
    /// Throws `-EINVAL` for a private one. Source: `kvm_gmem_mmap`, lore 20250117163001.2326672-8-tabba@google.com.
    public static func checkMapping(isShared: Bool) throws(KernelError) {
        if !isShared { throw KernelError(result: .invalid) }
    }
}

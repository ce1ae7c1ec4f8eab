#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What the tests find on the machine that they run on, found out by asking for it.
package enum TestHost {
    /// Whether this user may open `/dev/kvm`.
    package static let hasKVM: Bool = {
        let device = unsafe open("/dev/kvm", O_RDWR | O_CLOEXEC)
        guard device >= 0 else { return false }
        close(device)
        return true
    }()
}

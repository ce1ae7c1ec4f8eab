#if Libvirt

/// Where libvirt is: `driver[+transport]://[host]/path[?parameters]` (libvirt.org/uri.html).
enum LibvirtURI {
    /// What ``flaw(in:)`` finds nothing wrong with, as a regular expression for schemas.
    static let pattern = "^[^+]*([+]unix([+][^/]*)?)?://([/?].*)?$"

    /// What keeps a URI from being used, as the end of a sentence; `nil` for nothing.
    ///
    /// Memory files and processes are looked at by this process's own system calls, so that libvirt has to be on this machine.
    static func flaw(in uri: String) -> String? {
        guard let separator = uri.firstRange(of: "://") else { return "is no URI, such as qemu:///system" }
        let scheme = uri[..<separator.lowerBound].split(separator: "+", omittingEmptySubsequences: false)
        if scheme.count > 1, scheme[1] != "unix" {
            return "has the transport ‘\(scheme[1])’: libvirt has to be on this machine, behind a socket of it"
        }
        let host = uri[separator.upperBound...].prefix { $0 != "/" && $0 != "?" }
        return host.isEmpty
            ? nil : "has the host ‘\(host)’: libvirt has to be on this machine, and its memory files are looked at"
    }
}

#endif

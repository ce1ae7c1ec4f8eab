#if Libvirt
public import Custody

/// A look at guest-physical memory from outside, whatever its ownership: through the monitor, for debugging.
///
/// QEMU answers zeroes for addresses where there is no RAM, and libvirt passes them on. So every range is held against the
/// live description before and after it was read: one that was not RAM all the time is an error.
public final class Inspection: Sendable {
    /// What it can do.
    public static let capabilities = FacetCapabilities.inspection

    private let domain: Domain

    /// The largest piece that is read at a time: libvirt's limit over a socket is 4 MiB.
    private static let piece: UInt64 = 1 << 20

    /// Of a domain.
    package init(_ domain: borrowing Domain) { self.domain = domain.share() }

    /// Where the guest has RAM that can be looked at, now.
    public func memory() throws(BackendError) -> [PageRange] { try map().ranges }

    /// Copies guest-physical bytes out. They are of one moment only while the world is stopped.
    ///
    /// - Throws: `BackendError` with code `invalidArgument` where not all of them are RAM.
    public func read(_ byteCount: UInt64, from address: GuestPhysicalAddress) throws(BackendError) -> [UInt8] {
        try check(address, byteCount)
        var bytes: [UInt8] = []
        while UInt64(bytes.count) < byteCount {
            let done = UInt64(bytes.count)
            let count = Int(min(Inspection.piece, byteCount - done))
            do throws(VirError) { bytes += try domain.peek(at: address.rawValue + done, count: count) } catch {
                throw error.ofRunningDomain("the guest's memory at \(address) cannot be looked at")
            }
        }
        if byteCount > 0 { try check(address, byteCount) }
        return bytes
    }

    private func check(_ address: GuestPhysicalAddress, _ byteCount: UInt64) throws(BackendError) {
        guard try map().contains(address, byteCount: byteCount) else {
            throw BackendError(.invalidArgument, "\(ByteCount(byteCount)) from \(address) on are not all RAM")
        }
    }

    private func map() throws(BackendError) -> GuestMemoryMap { try GuestMemoryMap(of: LiveDescription(of: domain)) }
}

#endif

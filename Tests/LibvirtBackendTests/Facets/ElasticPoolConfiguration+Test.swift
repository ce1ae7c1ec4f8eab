#if Libvirt
import Custody

@testable import LibvirtBackend

extension ElasticPoolConfiguration {
    /// A pool of 64 MiB, away from all modules of tests.
    static func test(requested: UInt64 = 0) throws -> ElasticPoolConfiguration {
        try ElasticPoolConfiguration(
            PageRange(address: GuestPhysicalAddress(8 << 30), byteCount: 64 << 20),
            requested: ByteCount(requested)
        )
    }
}

#endif

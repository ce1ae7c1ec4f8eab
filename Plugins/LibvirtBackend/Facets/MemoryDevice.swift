#if Libvirt

/// A memory device that a domain has, by QEMU's word: an element of `query-memory-devices` (QEMU qapi/machine.json).
struct MemoryDevice: Decodable, Sendable, Hashable {
    struct Content: Decodable, Sendable, Hashable {
        let id: String?
        let memdev: String?
        /// Of a virtio-mem device: its address, what the guest was asked to have, and what it can have, in bytes.
        let address: UInt64?
        let requested: UInt64?
        let maximum: UInt64?
        /// Of a DIMM: its address.
        let base: UInt64?
        /// What the guest has, in bytes.
        let size: UInt64

        private enum CodingKeys: String, CodingKey {
            case id, memdev, size
            case address = "memaddr"
            case requested = "requested-size"
            case maximum = "max-size"
            case base = "addr"
        }
    }

    let data: Content

    /// Where it is, or can be.
    var addresses: Range<UInt64>? {
        guard let start = data.address ?? data.base, let end = start.exactly(adding: data.maximum ?? data.size) else {
            return nil
        }
        return start..<end
    }
}

extension UInt64 {
    fileprivate func exactly(adding other: UInt64) -> UInt64? {
        let (sum, isTooLarge) = addingReportingOverflow(other)
        return isTooLarge ? nil : sum
    }
}

#endif

#if Libvirt
package import Custody

/// Where a domain's guest has RAM, as far as its live description says.
package struct GuestMemoryMap: Sendable, Hashable {
    /// The ranges of RAM, sorted, none touching the next.
    package let ranges: [PageRange]

    /// The RAM of a domain: what its machine begins with, and its DIMMs. Memory of a virtio-mem device is left out, because
    /// which of its blocks are there only the guest knows.
    ///
    /// - Throws: `BackendError` with code ``BackendError/Code/unsupported`` for a machine whose addresses are not known
    ///   here.
    package init(of description: LiveDescription) throws(BackendError) {
        var ranges = try GuestMemoryMap.base(of: description)
        for (alias, device) in description.memoryDevices("dimm") {
            guard let base = XMLElement.number(device.first("address")?["base"]),
                let size = device.first("target", "size")?.byteCount
            else { throw BackendError(.system, "the DIMM ‘\(alias)’ is described without address or size") }
            ranges.append((base, size))
        }
        var pages: [PageRange] = []
        for (start, size) in ranges where size > 0 {
            do throws(RangeError) {
                pages.append(try PageRange(address: GuestPhysicalAddress(start), byteCount: size))
            } catch {
                throw BackendError(.system, "libvirt describes memory that cannot be: \(start), \(size) bytes")
            }
        }
        guard !pages.isEmpty else {
            self.ranges = []
            return
        }
        do throws(LayoutError) { self.ranges = try GuestMemoryLayout(regions: pages).regions } catch {
            throw BackendError(.system, "libvirt describes memory that cannot be", cause: error)
        }
    }

    /// Whether all of these bytes are RAM.
    package func contains(_ address: GuestPhysicalAddress, byteCount: UInt64) -> Bool {
        guard byteCount > 0 else { return true }
        guard let range = try? PageRange(touching: address, byteCount: byteCount) else { return false }
        return ranges.contains { $0.contains(range) }
    }

    /// The memory that the machine begins with, without the window of old graphics cards and firmware below 1 MiB.
    ///
    /// Where it is cut to make room for devices: QEMU hw/i386/pc_piix.c and pc_q35.c.
    private static func base(of description: LiveDescription) throws(BackendError) -> [(UInt64, UInt64)] {
        let size = description.baseMemory
        let machine = description.machine
        let lowest: UInt64
        guard description.architecture == "x86_64" || description.architecture == "i686" else {
            let text = "where a guest of architecture ‘\(description.architecture)’ has RAM is not known here"
            throw BackendError(.unsupported, text)
        }
        if machine == "pc" || machine.hasPrefix("pc-i440fx") {
            lowest = size >= 0xe000_0000 ? 0xc000_0000 : size
        } else if machine == "q35" || machine.hasPrefix("pc-q35") {
            lowest = size >= 0xb000_0000 ? 0x8000_0000 : size
        } else {
            throw BackendError(.unsupported, "where a machine ‘\(machine)’ has RAM is not known here")
        }
        let legacy: (start: UInt64, end: UInt64) = (0xa_0000, 0x10_0000)
        return [
            (0, min(lowest, legacy.start)), (legacy.end, lowest > legacy.end ? lowest - legacy.end : 0),
            (4 << 30, size - lowest),
        ]
    }
}

#endif

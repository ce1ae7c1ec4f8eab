import BasicContainers
import Custody

/// The leases that the devices of a scenario hold, by device.
struct LeaseTable: ~Copyable {
    private var leases = UniqueArray<HostLease>()
    /// When each of them ends by itself, where it does.
    private var ends: [Timestamp?] = []

    mutating func keep(_ lease: consuming HostLease, until end: Timestamp?) {
        leases.append(lease)
        ends.append(end)
    }

    /// When the next lease ends by itself.
    var nextEnd: Timestamp? { ends.compactMap(\.self).min() }

    /// Ends the leases whose time has come.
    mutating func releaseDue(at now: Timestamp) {
        for index in ends.indices.reversed() {
            guard let end = ends[index], end <= now else { continue }
            remove(at: index)
        }
    }

    private mutating func remove(at index: Int) {
        ends.remove(at: index)
        leases.remove(at: index).release()
    }

    /// Ends the oldest lease of a device; `false` where it has none.
    mutating func release(_ device: String) -> Bool {
        guard let index = index(of: device) else { return false }
        remove(at: index)
        return true
    }

    func range(of device: String) -> PageRange? { index(of: device).map { leases[$0].range } }

    func write(_ bytes: [UInt8], to address: UInt64, as device: String) -> String? {
        guard let index = index(of: device) else { return "\(device) holds nothing" }
        do {
            try leases[index].write(bytes.span, to: GuestPhysicalAddress(address))
            return nil
        } catch {
            return error.summary
        }
    }

    /// What a device reads.
    enum Reading {
        case bytes([UInt8])
        /// Why it could not.
        case failed(String)
    }

    func read(_ count: Int, from address: UInt64, as device: String) -> Reading {
        guard let index = index(of: device) else { return .failed("\(device) holds nothing") }
        do {
            var bytes = [UInt8](repeating: 0, count: count)
            var span = bytes.mutableSpan
            try leases[index].read(&span, from: GuestPhysicalAddress(address))
            return .bytes(bytes)
        } catch {
            return .failed(error.summary)
        }
    }

    private func index(of device: String) -> Int? {
        for index in 0..<leases.count where leases[index].holder.device == device { return index }
        return nil
    }
}

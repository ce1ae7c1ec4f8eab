public import Custody
import CustodyProtocols

extension SimulationBackend {
    /// Copies bytes out, unless the host may not have one of the pages.
    public func read(_ bytes: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError) {
        let copy = try touch(address, bytes.count, by: .host) { world, page, offset, _, count in
            world.bytes(of: page, offset, count)
        }
        for index in copy.indices { bytes[index] = copy[index] }
    }

    /// Copies bytes in, unless the host may not have one of the pages.
    public func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError) {
        let copy = unsafe bytes.withUnsafeBufferPointer { unsafe [UInt8]($0) }
        try write(copy, to: address, by: .host)
    }

    func write(_ bytes: [UInt8], to address: GuestPhysicalAddress, by party: Party) throws(BackendError) {
        _ = try touch(address, bytes.count, by: party) { world, page, offset, position, count in
            world.store(bytes[position..<(position + count)], in: page, offset)
            return []
        }
    }

    /// Has a party touch each page by the protocol, and then its bytes. What stops it is the protocol's answer.
    func touch(
        _ address: GuestPhysicalAddress,
        _ byteCount: Int,
        by party: Party,
        _ body: (inout SparseWorld, PageOffset, Int, Int, Int) -> [UInt8]
    ) throws(BackendError) -> [UInt8] {
        guard byteCount > 0 else { return [] }
        let range: PageRange
        do {
            range = try PageRange(touching: address, byteCount: UInt64(byteCount))
        } catch {
            guard party != .guest else { throw denied(address, "the access wraps around the end of the address space") }
            throw BackendError(.invalidArgument, "\(byteCount) bytes at \(address): \(error)")
        }
        if let hole = layout.firstHole(in: range) {
            guard party == .guest else {
                throw BackendError(.invalidArgument, "there is no memory at \(hole.address)", range: range)
            }
            if let lost = state.withLock({ $0.lost }) { throw lost }
            // A guest gets as far as there is memory. What is beyond is no argument of a call, but an exit to its monitor.
            let stop = max(address, hole.address)
            _ = try touch(address, Int(stop.rawValue - address.rawValue), by: party, body)
            throw denied(stop, "there is no memory")
        }
        return try state.withLock { state throws(BackendError) -> [UInt8] in
            if let lost = state.lost { throw lost }
            var result: [UInt8] = []
            var position = 0
            var at = address
            for page in file.pages(of: range) {
                let offset = Int(at.offsetInPage)
                let count = min(byteCount - position, Int(PageSize.base.bytes) - offset)
                try fault(page, at, by: party, &state)
                result += state.kernel.withWorld { body(&$0, page, offset, position, count) }
                position += count
                at = at.advanced(by: UInt64(count)) ?? at
            }
            return result
        }
    }

    func fault(
        _ page: PageOffset,
        _ address: GuestPhysicalAddress,
        by party: Party,
        _ state: inout SimulationState
    ) throws(BackendError) {
        let range = try? PageRange(address.page)
        if state.kernel.world.cachedFolio(at: page) == nil, let range { try inject(.populate, range, &state) }
        if party == .guest, state.reclaimed[address.page] == true {
            throw denied(address, "the guest has given the page up")
        }
        let result = state.kernel.call(Operation(party == .host ? .hostAccess : .guestAccess, start: page))
        if result.stuck != .none, let range { throw stuck(result.stuck, range, &state) }
        switch result.answer.kernel {
        case .success: return
        case .poisoned: throw BackendError(.poisoned, "the memory at \(address) is broken", range: range)
        case .noMemory:
            throw BackendError(.resourcesExhausted, "there is no memory left to back \(address)", range: range)
        default:
            throw denied(address, "the fault handler answered \(result.answer.kernel.name)")
        }
    }

    func denied(_ address: GuestPhysicalAddress, _ evidence: String) -> BackendError {
        let fault = HostFault(enforcement: .process, address: address, evidence: evidence)
        return BackendError(.accessDenied, "\(address) is out of reach", fault: fault)
    }
}

extension SimulationBackend: InProcessGuest {
    /// The number of virtual processors.
    public var processorCount: Int { processors }

    /// Loads bytes as the guest.
    public func load(_ count: Int, from address: GuestPhysicalAddress) throws(BackendError) -> [UInt8] {
        try touch(address, count, by: .guest) { world, page, offset, _, count in world.bytes(of: page, offset, count) }
    }

    /// Stores bytes as the guest.
    public func store(_ bytes: [UInt8], to address: GuestPhysicalAddress) throws(BackendError) {
        try write(bytes, to: address, by: .guest)
    }
}

public import Custody
import CustodyProtocols

// Processes beside this one. They are no part of the kernel's protocol: what they may do is decided when they come.
extension SimulationBackend: Neighbours, MemoryMeter {
    /// Simulated processes.
    public var neighbours: (any Neighbours)? { self }

    /// Maps pages, unless the host may not have all of their region.
    public func map(_ range: PageRange, as name: String) throws(BackendError) {
        guard let region = layout.region(containing: range.start), region.contains(range) else {
            throw BackendError(.invalidArgument, "the pages are not in one region of memory", range: range)
        }
        try state.withLock { state throws(BackendError) in
            guard state.neighbours[name] == nil else {
                throw BackendError(.invalidArgument, "\(name) has a mapping already", range: range)
            }
            let pages = file.pages(of: region)
            let isTaken = state.waiting.values.contains { $0.range.overlaps(region) }
            guard !isTaken, state.kernel.world.isUniform(pages.first, pages.count, .all) else {
                throw BackendError(.accessDenied, "the memory is not to be opened now", range: range)
            }
            let process = Int32(clamping: 1000 + state.neighbours.count)
            state.neighbours[name] = SimulationState.Neighbour(range: range, process: process)
        }
    }

    /// Loads bytes through a mapping.
    public func read(
        _ count: Int,
        from address: GuestPhysicalAddress,
        as name: String
    ) throws(BackendError) -> [UInt8] {
        try check(address, count, name)
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        try read(&span, from: address)
        return bytes
    }

    /// Stores bytes through a mapping.
    public func write(_ bytes: [UInt8], to address: GuestPhysicalAddress, as name: String) throws(BackendError) {
        try check(address, bytes.count, name)
        try write(bytes.span, to: address)
    }

    /// Ends a mapping; what waited for it goes on.
    public func release(as name: String) throws(BackendError) {
        try state.withLock { state throws(BackendError) in
            guard state.neighbours.removeValue(forKey: name) != nil else {
                throw BackendError(.invalidArgument, "\(name) has no mapping")
            }
        }
        submitWork()
    }

    private func check(_ address: GuestPhysicalAddress, _ count: Int, _ name: String) throws(BackendError) {
        let range = state.withLock { $0.neighbours[name]?.range }
        guard let range, let touched = try? PageRange(touching: address, byteCount: UInt64(clamping: count)),
            range.contains(touched)
        else { throw BackendError(.invalidArgument, "\(count) bytes at \(address) are not in a mapping of \(name)") }
    }

    // MARK: Memory

    /// Tells how many pages are in the file.
    public var memoryMeter: (any MemoryMeter)? { self }

    /// The bytes of the pages that the file has memory for.
    ///
    /// - Complexity: O(*n*) in the number of pages.
    public func backedBytes(of range: PageRange) throws(BackendError) -> UInt64 {
        if let hole = layout.firstHole(in: range) {
            throw BackendError(.invalidArgument, "there is no memory at \(hole.address)", range: range)
        }
        return state.withLock { state in
            file.pages(of: range).reduce(0) { sum, page in
                state.kernel.world.cachedFolio(at: page) == nil ? sum : sum + PageSize.base.bytes
            }
        }
    }
}

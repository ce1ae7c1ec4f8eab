#if Libvirt
public import Custody
import Glibc

// The bytes, and the memory behind them.
extension LibvirtBackend: MemoryPopulator, MemoryMeter {
    /// Copies bytes out through this process's window. A page that is closed stops it.
    public func read(_ bytes: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError) {
        try unsafe bytes.withUnsafeMutableBufferPointer { buffer throws(BackendError) in
            guard let start = buffer.baseAddress else { return }
            try unsafe copy(start, buffer.count, address, into: false)
        }
    }

    /// Copies bytes in through this process's window. A page that is closed stops it.
    public func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError) {
        try unsafe bytes.withUnsafeBufferPointer { buffer throws(BackendError) in
            guard let start = buffer.baseAddress else { return }
            // The bytes are read and not written: the kernel's interface has one type for both.
            try unsafe copy(UnsafeMutablePointer(mutating: start), buffer.count, address, into: true)
        }
    }

    private func copy(
        _ buffer: UnsafeMutablePointer<UInt8>,
        _ count: Int,
        _ address: GuestPhysicalAddress,
        into: Bool
    ) throws(BackendError) {
        guard count > 0 else { return }
        let (last, overflow) = address.rawValue.addingReportingOverflow(UInt64(count) - 1)
        guard !overflow, let module = modules.first(where: { $0.range.contains(address.page) }),
            module.range.contains(GuestPhysicalAddress(last).page)
        else { throw BackendError(.invalidArgument, "\(count) bytes at \(address) are not in one module of memory") }
        let offset = address.rawValue - module.range.address.rawValue
        let done: Int
        do throws(HostError) {
            done = try unsafe module.file.copy(buffer, offset: offset, count: count, into: into)
        } catch {
            throw BackendError(.system, "the bytes cannot be copied", cause: error)
        }
        guard done < count else { return }
        let stop = GuestPhysicalAddress(address.rawValue + UInt64(done))
        let page = try? PageRange(stop.page)
        guard let page, !module.isShown(page) else {
            throw BackendError(.resourcesExhausted, "there is no memory left to back \(stop)", range: page)
        }
        throw BackendError(
            .accessDenied,
            "the host may not touch \(stop)",
            range: page,
            fault: HostFault(enforcement: .process, address: stop, evidence: "EFAULT: the window is closed")
        )
    }

    /// Gives the memory back to the system, whoever owns the pages; they read as zeroes.
    public func discardContents(of range: PageRange) throws(BackendError) {
        try forEachPart(of: range, "the contents cannot be discarded") { module, part throws(HostError) in
            try module.file.discard(offset: module.offset(of: part), length: part.byteCount)
        }
    }

    /// Takes memory from the system now: this back end itself.
    public var populator: (any MemoryPopulator)? { self }

    /// Takes the memory of pages from the system.
    public func populate(_ range: PageRange) throws(BackendError) {
        try forEachPart(of: range, "the memory cannot be had") { module, part throws(HostError) in
            try module.file.allocate(offset: module.offset(of: part), length: part.byteCount)
        }
    }

    /// Tells what is behind the files: this back end itself.
    public var memoryMeter: (any MemoryMeter)? { self }

    /// The bytes behind pages: for a whole module what the file takes, for part of one what has been written to.
    public func backedBytes(of range: PageRange) throws(BackendError) -> UInt64 {
        var sum: UInt64 = 0
        try forEachPart(of: range, "the file does not tell what is behind it") { module, part throws(HostError) in
            sum +=
                part == module.range
                ? try module.file.backedBytes()
                : try module.file.writtenBytes(offset: module.offset(of: part), length: part.byteCount)
        }
        return sum
    }

    private func forEachPart(
        of range: PageRange,
        _ message: String,
        _ body: (MemoryModule, PageRange) throws(HostError) -> Void
    ) throws(BackendError) {
        if let hole = layout.firstHole(in: range) {
            throw BackendError(.invalidArgument, "there is no memory at \(hole.address)", range: range)
        }
        if let lost = ledger.withLock({ $0.lost }) { throw lost }
        for module in modules {
            guard let part = module.range.intersection(range) else { continue }
            do throws(HostError) { try body(module, part) } catch {
                let code: BackendError.Code = error.errno == ENOSPC ? .resourcesExhausted : .system
                throw BackendError(code, message, range: part, cause: error)
            }
        }
    }
}

#endif

import CKVM
public import Custody

// The host's way to the guest's bytes.
extension KVMBackend {
    /// Copies bytes out. A private page is looked for where it is, so what stops the copy is the kernel's signal.
    public func read(_ bytes: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError) {
        try unsafe bytes.withUnsafeMutableBufferPointer { buffer throws(BackendError) in
            guard let destination = unsafe buffer.baseAddress.map(UnsafeMutableRawPointer.init) else { return }
            try unsafe forEachPart(of: buffer.count, from: address) { window, offset, count, isClosed, fault in
                isClosed
                    ? unsafe ckvm_guarded_copy_closed(destination + offset, window, count, &fault)
                    : unsafe ckvm_guarded_copy(destination + offset, window, count, &fault)
            }
        }
    }

    /// Copies bytes in. The dirty log, where there is one, has the pages then.
    public func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError) {
        try unsafe bytes.withUnsafeBufferPointer { buffer throws(BackendError) in
            guard let source = unsafe buffer.baseAddress.map(UnsafeRawPointer.init) else { return }
            try unsafe forEachPart(of: buffer.count, from: address) { window, offset, count, isClosed, fault in
                let signal =
                    isClosed
                    ? unsafe ckvm_guarded_copy_closed(window, source + offset, count, &fault)
                    : unsafe ckvm_guarded_copy(window, source + offset, count, &fault)
                // Some of it may have been written, whatever has stopped it.
                tracker.note(address.rawValue &+ UInt64(offset), count)
                return signal
            }
        }
    }

    /// Gives `body` the part of a window, the offset in the caller's bytes, the count, and whether the part is closed to the
    /// host, for each run of pages that are in one file.
    @inline(__always)
    private func forEachPart(
        of count: Int,
        from address: GuestPhysicalAddress,
        _ body: (UnsafeMutableRawPointer, Int, Int, Bool, inout UInt) -> Int32
    ) throws(BackendError) {
        guard count > 0 else { return }
        let lastByte = address.rawValue.addingReportingOverflow(UInt64(count) &- 1)
        guard !lastByte.overflow, let region = layout.region(containing: address.page),
            region.contains(GuestPhysicalAddress(lastByte.partialValue).page)
        else { throw KVMBackend.outside(address, count) }
        var done = 0
        while done < count {
            let at = address.rawValue &+ UInt64(done)
            let page = PageNumber(at / PageSize.base.bytes)
            let inPage = at % PageSize.base.bytes
            var length = count &- done
            if length > Int(PageSize.base.bytes &- inPage) {
                let pages = (inPage &+ UInt64(length) &+ (PageSize.base.bytes &- 1)) / PageSize.base.bytes
                length = min(
                    length,
                    Int(machine.privatePages.runLength(from: page, limit: pages) &* PageSize.base.bytes &- inPage)
                )
            }
            let isPrivate = machine.privatePages.bit(at: page)
            let window = isPrivate ? windows.private : windows.shared
            let start = window &+ UInt(at &- base)
            guard let pointer = unsafe UnsafeMutableRawPointer(bitPattern: start) else { return }
            var fault: UInt = 0
            let signal = unsafe body(pointer, done, length, isPrivate, &fault)
            // Whoever has taken the signals' handlers since would be asked about a copy that is stopped, and not know.
            guard signal >= 0 else { throw KVMBackend.handlersTaken }
            guard signal == 0 else {
                let inside = fault >= start && fault - start < UInt(length)
                throw denied(at: at + (inside ? UInt64(fault - start) : 0), signal)
            }
            done &+= length
        }
    }
}

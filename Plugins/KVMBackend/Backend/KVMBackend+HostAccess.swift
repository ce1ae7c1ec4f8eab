import CKVM
public import Custody

// The host's way to the guest's bytes.
extension KVMBackend {
    /// Copies bytes out. A private page is looked for where it is, so what stops the copy is the kernel's signal.
    public func read(_ bytes: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError) {
        try unsafe bytes.withUnsafeMutableBufferPointer { buffer throws(BackendError) in
            guard let destination = unsafe buffer.baseAddress.map(UnsafeMutableRawPointer.init) else { return }
            try unsafe forEachPart(of: buffer.count, from: address) { window, offset, count, fault in
                unsafe ckvm_guarded_copy(destination + offset, window, count, &fault)
            }
        }
    }

    /// Copies bytes in.
    public func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError) {
        try unsafe bytes.withUnsafeBufferPointer { buffer throws(BackendError) in
            guard let source = unsafe buffer.baseAddress.map(UnsafeRawPointer.init) else { return }
            try unsafe forEachPart(of: buffer.count, from: address) { window, offset, count, fault in
                unsafe ckvm_guarded_copy(window, source + offset, count, &fault)
            }
        }
    }

    /// Gives `body` the part of a window, the offset in the caller's bytes, and the count, for each run of pages that are
    /// in one file.
    @inline(__always)
    private func forEachPart(
        of count: Int,
        from address: GuestPhysicalAddress,
        _ body: (UnsafeMutableRawPointer, Int, Int, inout UInt) -> Int32
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
            // This copy will be stopped. Whoever has taken the signals' handlers since would be asked, and not know.
            guard !isPrivate || ckvm_guarded_install() == 0 else { throw KVMBackend.handlersTaken }
            let window = isPrivate ? windows.private : windows.shared
            let start = window &+ UInt(at &- base)
            guard let pointer = unsafe UnsafeMutableRawPointer(bitPattern: start) else { return }
            var fault: UInt = 0
            let signal = unsafe body(pointer, done, length, &fault)
            guard signal == 0 else {
                let inside = fault >= start && fault - start < UInt(length)
                throw denied(at: at + (inside ? UInt64(fault - start) : 0), signal)
            }
            done &+= length
        }
    }
}

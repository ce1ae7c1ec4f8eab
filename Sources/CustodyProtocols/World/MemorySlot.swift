/// A window of a guest's physical memory onto a file (`struct kvm_memory_slot`): guest frame numbers to file offsets.
///
/// Source: `kvm_slot_gmem_set_mappable` and its neighbours, lore 20250117163001.2326672-6-tabba@google.com.
public struct MemorySlot: Hashable, Sendable {
    /// The first guest frame number, in pages.
    public let baseFrame: UInt64
    /// Size of the slot, in pages.
    public let pageCount: UInt64
    /// Where the slot begins in the file.
    public let fileOffset: PageOffset

    /// A slot of `pageCount` pages from guest frame `baseFrame` on the file from `fileOffset`.
    ///
    /// Throws ``KernelError`` with `-EINVAL` if the slot is empty, or wraps around, or does not lie within a file of
    /// `filePages` pages.
    public init(
        baseFrame: UInt64,
        pageCount: UInt64,
        fileOffset: PageOffset,
        filePages: UInt64
    ) throws(KernelError) {
        let (_, wraps) = baseFrame.addingReportingOverflow(pageCount)
        let (end, overflows) = fileOffset.rawValue.addingReportingOverflow(pageCount)
        guard pageCount > 0, !wraps, !overflows, end <= filePages else { throw KernelError(result: .invalid) }
        self.baseFrame = baseFrame
        self.pageCount = pageCount
        self.fileOffset = fileOffset
    }

    /// The part of `count` guest frames from `first` that lies in this slot, as pages of the file; nil if none does.
    public func pages(first: UInt64, count: UInt64) -> (start: PageOffset, count: UInt64)? {
        let (end, overflows) = first.addingReportingOverflow(count)
        let low = max(first, baseFrame)
        let high = min(overflows ? .max : end, baseFrame &+ pageCount)
        guard low < high else { return nil }
        return (PageOffset(fileOffset.rawValue &+ (low &- baseFrame)), high &- low)
    }
}

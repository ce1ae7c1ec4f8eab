import CKVM

/// The page that a virtual processor shares with KVM (`struct kvm_run`), read and written field by field. It can also be
/// memory that a test has laid out.
///
/// Fields are named by their offsets in `ckvm_processor.h`; nothing outside of the page is touched whatever is in it.
@safe struct RunPage: Sendable {
    /// The smallest page there can be: everything that a field of this type can name.
    static let minimumLength = UInt64(CKVM_RUN_DETAILS + CKVM_RUN_DETAILS_SIZE)

    // Sendable: an address whose memory lives as long as the processor, and that its own thread alone reads and writes
    // while it is out of the guest. The one byte that others write is written atomically.
    private nonisolated(unsafe) let base: UnsafeMutableRawPointer
    private let length: Int

    /// A page of `length` bytes that outlives this value; `nil` where it is too small to be one.
    @unsafe init?(_ base: UnsafeMutableRawPointer?, length: UInt64) {
        guard let base = unsafe base, length >= RunPage.minimumLength else { return nil }
        unsafe self.base = base
        self.length = Int(clamping: length)
    }

    /// The number of the exit's reason.
    var reason: UInt32 {
        unsafe base.loadUnaligned(fromByteOffset: CKVM_RUN_EXIT_REASON, as: UInt32.self)
    }

    /// One field of an exit's details, by its offset from their start.
    subscript<Field: FixedWidthInteger & BitwiseCopyable>(offset: Int) -> Field {
        get {
            guard holds(offset, MemoryLayout<Field>.size) else { return 0 }
            return unsafe base.loadUnaligned(fromByteOffset: CKVM_RUN_DETAILS + offset, as: Field.self)
        }
        nonmutating set {
            guard holds(offset, MemoryLayout<Field>.size) else { return }
            unsafe base.storeBytes(of: newValue, toByteOffset: CKVM_RUN_DETAILS + offset, as: Field.self)
        }
    }

    /// The first words of an array in the details, at most as many as fit.
    func words(_ count: UInt32, at offset: Int) -> [UInt64] {
        (0..<Int(min(count, 16))).map { self[offset + 8 * $0] }
    }

    /// Where the values of a port access are in the page, or `nil` where they would not be within it.
    func data(of access: ProcessorExit.PortAccess) -> Range<Int>? {
        let offset: UInt64 = self[CKVM_IO_DATA_OFFSET]
        let (size, overflow) = access.size.multipliedReportingOverflow(by: access.count)
        guard !overflow, [1, 2, 4].contains(access.size), access.count > 0, let start = Int(exactly: offset),
            start <= length, size <= length - start
        else { return nil }
        return start..<(start + size)
    }

    /// A little-endian value of `size` bytes (at most 8), within the page.
    func value(at offset: Int, size: Int) -> UInt64 {
        (0..<size).reversed().reduce(0) { value, index in
            let byte = unsafe base.load(fromByteOffset: offset + index, as: UInt8.self)
            return value << 8 | UInt64(byte)
        }
    }

    /// Stores a little-endian value of `size` bytes (at most 8), within the page.
    func store(_ value: UInt64, at offset: Int, size: Int) {
        for index in 0..<size {
            let byte = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index)))
            unsafe base.storeBytes(of: byte, toByteOffset: offset + index, as: UInt8.self)
        }
    }

    private func holds(_ offset: Int, _ size: Int) -> Bool {
        offset >= 0 && offset + size <= CKVM_RUN_DETAILS_SIZE
    }
}

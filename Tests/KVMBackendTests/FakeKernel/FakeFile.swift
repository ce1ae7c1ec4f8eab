import CKVM
import Glibc
import SystemPackage
import Testing

@testable import KVMBackend

/// The inode of a guest_memfd: the bytes, and for each page whether it is private and who refers to it.
///
/// The bytes are in a memfd of the fake's own, mapped once for the fake kernel itself. A host's mapping is a mapping of the
/// same memfd, on which every private page is covered by a page of a file without one: the touch of it is a SIGBUS, as with
/// a real guest_memfd.
struct FakeFile: Sendable {
    static let page = 4096

    /// The memfd with the bytes.
    let store: Int32
    /// Where the fake kernel itself has all of it.
    let alias: UInt
    let size: UInt64
    let flags: UInt64
    /// The machine that it belongs to.
    let machine: Int
    /// The pages that are not in the state that the file's pages begin in.
    private var converted: Set<Int> = []
    /// References beyond those of the page cache, by page.
    var references: [Int: Int] = [:]
    /// The host's mappings: address and length.
    var mappings: [UInt: UInt64] = [:]
    var descriptors = 1

    var isMappable: Bool { flags & UInt64(CKVM_GUEST_MEMFD_MMAP) != 0 }
    var pageCount: Int { Int(size) / FakeFile.page }
    private var beginsPrivate: Bool { flags & UInt64(CKVM_GUEST_MEMFD_INIT_SHARED) == 0 }

    /// Whether the host is kept from a page.
    func isPrivate(_ page: Int) -> Bool { beginsPrivate != converted.contains(page) }

    /// The pages that have been converted once more often than back.
    var convertedPages: Set<UInt64> { Set(converted.map(UInt64.init)) }

    init(size: UInt64, flags: UInt64, machine: Int) throws(Errno) {
        let kernel = LinuxKernel()
        store = Int32(try kernel.perform(.memfdCreate(name: "fake-guest-memfd")))
        _ = try kernel.perform(.ftruncate(store, size: size))
        alias = UInt(
            bitPattern: try kernel.perform(.mmap(store, length: size, protection: PROT_READ | PROT_WRITE))
        )
        self.size = size
        self.flags = flags
        self.machine = machine
    }

    /// Gives everything back: nobody refers to the file any more.
    func destroy() {
        _ = try? LinuxKernel().perform(.munmap(address: alias, length: size))
        _ = try? LinuxKernel().perform(.close(store))
    }

    /// Whether a page is in the page cache.
    func isPresent(_ page: Int) -> Bool { FakeFile.isPresent(page, in: store) }

    /// How many pages are in the page cache.
    var presentPages: Int { FakeFile.presentPages(in: store) }

    static func isPresent(_ page: Int, in descriptor: Int32) -> Bool {
        let data = (try? LinuxKernel().perform(.seekData(descriptor, offset: UInt64(page * FakeFile.page)))) ?? .max
        return data < (page + 1) * FakeFile.page
    }

    /// How many pages a memfd has.
    static func presentPages(in descriptor: Int32) -> Int {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { return 0 }
        return Int(status.st_blocks) * 512 / FakeFile.page
    }

    /// Brings pages into the page cache; `false` where there is no memory.
    func populate(_ pages: Range<Int>) -> Bool {
        // A page that was merely allocated is a hole for SEEK_DATA; one that was read from is not.
        var byte: UInt8 = 0
        return pages.allSatisfy { FakeAccess.copy(from: alias + UInt($0 * FakeFile.page), count: 1, to: &byte) }
    }

    // MARK: The host's mappings

    /// Adds a mapping of the host's.
    mutating func map(length: UInt64, empty: Int32) throws(Errno) -> UInt {
        let protection = PROT_READ | PROT_WRITE
        let address = UInt(
            bitPattern: try LinuxKernel().perform(.mmap(store, length: length, protection: protection))
        )
        mappings[address] = length
        if beginsPrivate { FakeFile.cover(address, 0, pageCount, length, empty) }
        for page in converted {
            FakeFile.cover(address, page, page + 1, length, isPrivate(page) ? empty : store)
        }
        return address
    }

    /// Makes pages private or shared, in every mapping of the host's.
    mutating func set(_ pages: Range<Int>, isPrivate: Bool, empty: Int32) {
        if isPrivate == beginsPrivate { converted.subtract(pages) } else { converted.formUnion(pages) }
        for (address, length) in mappings {
            FakeFile.cover(address, pages.lowerBound, pages.upperBound, length, isPrivate ? empty : store)
        }
    }

    private static func cover(_ address: UInt, _ first: Int, _ end: Int, _ length: UInt64, _ descriptor: Int32) {
        let start = first * page
        let count = min(end * page, Int(length)) - start
        guard count > 0 else { return }
        let wanted = unsafe UnsafeMutableRawPointer(bitPattern: address + UInt(start))
        let protection = PROT_READ | PROT_WRITE
        let flags = MAP_SHARED | MAP_FIXED | MAP_NORESERVE
        let result = unsafe mmap(wanted, count, protection, flags, descriptor, start)
        if unsafe result != wanted { Issue.record("the fake kernel cannot cover pages: errno \(errno)") }
    }
}

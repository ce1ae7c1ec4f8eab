import CKVM
import Custody
import Glibc
import SystemPackage
import Testing

@testable import KVMBackend

/// The cases of the kernel's `guest_memfd_test` selftest, as black-box tests: on the real kernel, and on the fake one where the case
/// needs no more than the seam's calls.
@Suite(.timeLimit(.minutes(60))) struct GuestMemfdTests {
    private let page = BareMachine.page

    private enum Fallocate {
        static let keepSize: Int32 = 1
        static let punchHole: Int32 = 2 | 1

        static func objection(_ file: borrowing OwnedDescriptor, _ mode: Int32, _ offset: Int, _ length: Int) -> Errno?
        {
            KVMBackendTests.objection(RawCall.fallocate.make(Int(file.rawValue), Int(mode), offset, length))
        }
    }

    @Test("G1 guest_memfd_flags", arguments: TestKernel.both) func flags(kernel: TestKernel) throws {
        let bare = try BareMachine(on: kernel)
        let known = UInt64(try bare.device.value(of: .guestMemfdFlags))
        #expect(known & 3 == 3)
        for bit in UInt64(0)..<64 {
            let refusal = try objection { _ = try bare.makeFile(size: page, flags: 1 << bit) }
            #expect(refusal == (known & 1 << bit != 0 ? nil : .invalidArgument), "flag 1 << \(bit)")
        }
        #expect(try objection { _ = try bare.makeFile(size: page, flags: known) } == nil)
        #expect(try objection { _ = try bare.makeFile(size: page, flags: .max) } == .invalidArgument)
    }

    @Test("G2 create_guest_memfd_multiple", arguments: TestKernel.both, BareMachine.kinds) func several(
        kernel: TestKernel,
        flags: UInt64
    ) throws {
        let bare = try BareMachine(on: kernel)
        let first = try bare.makeFile(size: page, flags: flags)
        let second = try bare.makeFile(size: 2 * page, flags: flags)
        let status = try [status(of: first), status(of: second)]
        #expect(status.map(\.st_size) == [4096, 8192])
        #expect(status[0].st_ino != status[1].st_ino)
        #expect(first.rawValue != second.rawValue)
    }

    @Test("G3 create_invalid_sizes", arguments: TestKernel.both, BareMachine.kinds) func invalidSizes(
        kernel: TestKernel,
        flags: UInt64
    ) throws {
        let bare = try BareMachine(on: kernel)
        let sizes: [UInt64] = Array(0..<page) + [page + 1, 3 * page - 1, 1 << 63, .max - page + 1, .max]
        let refused = try sizes.filter { size in
            try objection { _ = try bare.makeFile(size: size, flags: flags) } == .invalidArgument
        }
        #expect(refused == sizes)
        #expect(try objection { _ = try bare.makeFile(size: page, flags: flags) } == nil)
    }

    @Test("G4 file_read_write", .needsKVM, arguments: BareMachine.kinds) func readAndWrite(flags: UInt64) throws {
        let bare = try BareMachine()
        let file = try bare.makeFile(size: 4 * page, flags: flags)
        var bytes = [UInt8](repeating: 0x55, count: 64)
        let refusals = unsafe bytes.withUnsafeMutableBytes { bytes in
            unsafe [
                objection(Glibc.read(file.rawValue, bytes.baseAddress, bytes.count)),
                objection(Glibc.write(file.rawValue, bytes.baseAddress, bytes.count)),
                objection(pread(file.rawValue, bytes.baseAddress, bytes.count, 0)),
                objection(pwrite(file.rawValue, bytes.baseAddress, bytes.count, 0)),
            ]
        }
        // The selftest wants a failure; these are this kernel's numbers for it, and others would do.
        #expect(refusals == [.invalidArgument, .invalidArgument, .illegalSeek, .illegalSeek])
        #expect(Touch.uniform(bytes, 0x55))
    }

    @Test("G5 mmap_supported", arguments: TestKernel.both) func mapping(kernel: TestKernel) throws {
        let bare = try BareMachine(on: kernel)
        let size = 4 * page
        let file = try bare.machine.makeGuestMemoryFile(.guestMemfd(flags: BareMachine.touchable), size: size)
        let again = try file.mapAgain(length: size)
        let start = file.map.address
        #expect(Touch.holds(0, at: start, count: size))
        #expect(Touch.fill(0xAA, at: start, count: size) == 0)
        #expect(Touch.holds(0xAA, at: again.address, count: size))
        try file.discard(offset: 0, length: page)
        for map in [start, again.address] {
            #expect(Touch.holds(0, at: map, count: page))
            #expect(Touch.holds(0xAA, at: map + 4096, count: size - page))
        }
        #expect(Touch.fill(0xAA, at: start, count: page) == 0)
        #expect(Touch.holds(0xAA, at: again.address, count: size))
    }

    @Test("G6 fault_overflow", arguments: TestKernel.both) func overflow(kernel: TestKernel) throws {
        let bare = try BareMachine(on: kernel)
        let size = 4 * page
        let file = try bare.makeFile(size: size, flags: BareMachine.touchable)
        let map = try MappedMemory(file.rawValue, length: 4 * size, kernel: bare.kernel)
        #expect(Touch.fill(0xAA, at: map.address, count: size) == 0)
        for beyond in stride(from: size, to: 4 * size, by: Int(page)) {
            #expect(Touch.read(1, at: map.address + UInt(beyond)).signal == SIGBUS)
            #expect(Touch.fill(1, at: map.address + UInt(beyond), count: 1) == SIGBUS)
        }
        #expect(Touch.read(page + 1, at: map.address + UInt(size - page)).signal == SIGBUS)
        #expect(Touch.holds(0xAA, at: map.address, count: size))
        #expect(try status(of: file).st_size == Int(size))
    }

    @Test("G7 fault_private", arguments: TestKernel.both) func privateFault(kernel: TestKernel) throws {
        let bare = try BareMachine(on: kernel)
        let size = 4 * page
        let file = try bare.machine.makeGuestMemoryFile(.guestMemfd(flags: BareMachine.mappable), size: size)
        let again = try file.mapAgain(length: size)
        for address in [file.map.address, again.address] {
            for offset in stride(from: UInt(0), to: UInt(size), by: 4096) {
                #expect(Touch.read(1, at: address + offset).signal == SIGBUS)
                #expect(Touch.fill(0xAA, at: address + offset, count: 8) == SIGBUS)
            }
        }
    }

    @Test("G8 mmap_cow", .needsKVM) func copyOnWrite() throws {
        let bare = try BareMachine()
        for flags in [BareMachine.mappable, BareMachine.touchable] {
            let file = try bare.makeFile(size: page, flags: flags)
            #expect(map(file, MAP_PRIVATE) == .invalidArgument)
            #expect(map(file, MAP_SHARED) == nil)
        }
    }

    @Test("G9 mmap_not_supported", .needsKVM) func noMapping() throws {
        let bare = try BareMachine()
        let file = try bare.makeFile(size: page, flags: 0)
        #expect(map(file, MAP_SHARED) == .operationNotSupportedByDevice)
        #expect(map(file, MAP_PRIVATE) == .operationNotSupportedByDevice)
        // The package's own file has a reserved place instead, where there is nothing.
        let own = try bare.machine.makeGuestMemoryFile(.guestMemfd(flags: 0), size: page)
        #expect(Touch.read(1, at: own.map.address).signal == SIGSEGV)
    }

    @Test("G10 file_size", arguments: TestKernel.both, BareMachine.kinds) func fileSize(
        kernel: TestKernel,
        flags: UInt64
    ) throws {
        let bare = try BareMachine(on: kernel)
        for size in [page, 4 * page, BareMachine.large + page, 1 << 40] {
            let status = try status(of: bare.makeFile(size: size, flags: flags))
            #expect(status.st_size == Int(size))
            #expect(status.st_blksize == 4096)
        }
    }

    @Test("G11 fallocate", .needsKVM, arguments: BareMachine.kinds) func allocation(flags: UInt64) throws {
        let bare = try BareMachine()
        let size = 4 * 4096
        let file = try bare.makeFile(size: UInt64(size), flags: flags)
        let cases: [(mode: Int32, offset: Int, length: Int, isRefused: Bool)] = [
            (Fallocate.keepSize, 0, size, false),
            (Fallocate.keepSize, 4095, 4096, true),
            (Fallocate.keepSize, 0, 4095, true),
            (Fallocate.keepSize, size, 4096, true),
            (Fallocate.keepSize, size + 4096, 4096, true),
            (Fallocate.keepSize, size - 4096, 8192, true),
            (Fallocate.punchHole, size, 4096, false),
            (Fallocate.punchHole, size + 4096, 4096, false),
            (Fallocate.punchHole, 4096, 4095, true),
            (Fallocate.punchHole, 4096, 4096, false),
            (Fallocate.keepSize, 4096, 4096, false),
        ]
        for (mode, offset, length, isRefused) in cases {
            let refusal = Fallocate.objection(file, mode, offset, length)
            #expect(refusal == (isRefused ? .invalidArgument : nil), "mode \(mode), \(length) bytes at \(offset)")
        }
        // A file of guest memory neither grows by allocation nor loses its size by a hole.
        #expect(Fallocate.objection(file, 0, 0, size) == .notSupportedOnSocket)
        #expect(Fallocate.objection(file, 2, 0, size) == .notSupportedOnSocket)
        #expect(try status(of: file).st_size == size)
    }

    /// As far as the back end's own calls go.
    @Test("G11 fallocate, at the seam", arguments: TestKernel.both, BareMachine.kinds)
    func allocationAtTheSeam(kernel: TestKernel, flags: UInt64) throws {
        let bare = try BareMachine(on: kernel)
        let size = 4 * page
        let file = try bare.makeFile(size: size, flags: flags)
        let cases: [(call: SystemCall, refusal: Errno?)] = [
            (.allocate(file.rawValue, offset: 0, length: size), nil),
            (.allocate(file.rawValue, offset: page - 1, length: page), .invalidArgument),
            (.allocate(file.rawValue, offset: 0, length: page - 1), .invalidArgument),
            (.allocate(file.rawValue, offset: size, length: page), .invalidArgument),
            (.allocate(file.rawValue, offset: size + page, length: page), .invalidArgument),
            (.allocate(file.rawValue, offset: size - page, length: 2 * page), .invalidArgument),
            (.punchHole(file.rawValue, offset: size, length: page), nil),
            (.punchHole(file.rawValue, offset: size + page, length: page), nil),
            (.punchHole(file.rawValue, offset: page, length: page - 1), .invalidArgument),
            (.punchHole(file.rawValue, offset: page, length: page), nil),
            (.allocate(file.rawValue, offset: page, length: page), nil),
            (.seekData(file.rawValue, offset: 0), .illegalSeek),
        ]
        for (call, refusal) in cases {
            #expect(try objection { try bare.kernel.call(call) } == refusal, "\(call)")
        }
        #expect(try status(of: file).st_size == Int(size))
    }

    @Test("G12 invalid_punch_hole", arguments: TestKernel.both, BareMachine.kinds) func invalidHole(
        kernel: TestKernel,
        flags: UInt64
    ) throws {
        let bare = try BareMachine(on: kernel)
        let file = try bare.makeFile(size: 4 * page, flags: flags)
        let misaligned: [(UInt64, UInt64)] = [
            (0, 1), (0, page - 1), (0, page + 1),
            (1, 1), (1, page - 1), (1, page), (1, page + 1),
            (page, 1), (page, page - 1), (page, page + 1),
        ]
        for (offset, length) in misaligned {
            let refusal = try objection {
                try bare.kernel.call(.punchHole(file.rawValue, offset: offset, length: length))
            }
            #expect(refusal == .invalidArgument, "\(length) bytes at \(offset)")
        }
    }

    @Test("G13 collapse", .needsKVM) func collapse() throws {
        let bare = try BareMachine()
        let size = 2 * BareMachine.large
        let file = try bare.machine.makeGuestMemoryFile(.guestMemfd(flags: BareMachine.touchable), size: size)
        #expect(Touch.fill(0xAA, at: file.map.address, count: size) == 0)
        // A whole large page within the mapping, wherever the kernel put that.
        let large = UInt(BareMachine.large)
        let start = (file.map.address + large - 1) / large * large
        let length = file.map.address + UInt(size) - start
        #expect(advise(start, length / large * large, 14) == nil)  // MADV_HUGEPAGE
        #expect(advise(start, large, 25) == .invalidArgument)  // MADV_COLLAPSE
        // Forgetting the mapping's pages does not forget the file's.
        #expect(advise(start, length / large * large, 4) == nil)  // MADV_DONTNEED
        #expect(Touch.holds(0xAA, at: file.map.address, count: size))
    }

    @Test("G14 mbind", .needsKVM) func memoryPolicy() throws {
        let bare = try BareMachine()
        let file = try bare.machine.makeGuestMemoryFile(.guestMemfd(flags: BareMachine.touchable), size: 8 * page)
        let start = file.map.address
        #expect(MemoryPolicy.bind(start, 4 * 4096, .interleave, nodes: 1) == nil)
        #expect(MemoryPolicy.bind(start, 4096, .bind, nodes: 1) == nil)
        #expect(MemoryPolicy.bind(start + 4096, 4096, .preferred, nodes: 1) == nil)
        #expect(MemoryPolicy.bind(start + 2 * 4096, 4096, .default, nodes: 0) == nil)
        let expected: [MemoryPolicy] = [.bind, .preferred, .default, .interleave, .default]
        for (index, mode) in expected.enumerated() {
            let found = MemoryPolicy.ask(start + UInt(index) * 4096)
            #expect(found?.policy == mode, "page \(index)")
            #expect(found?.nodes == (mode == .default ? 0 : 1), "page \(index)")
        }
        #expect(MemoryPolicy.bind(start, 4096, number: 999, nodes: 1) == .invalidArgument)
        #expect(MemoryPolicy.ask(start)?.policy == .bind)
        // A policy does not keep the pages from being touched.
        #expect(Touch.fill(0xAA, at: start, count: 8 * page) == 0)
        #expect(Touch.holds(0xAA, at: start, count: 8 * page))
    }

    /// Pages come from the nodes that they are bound to. The selftest asks for two nodes; on a machine with one both are it.
    @Test("G15 numa_allocation", .needsKVM) func allocationOnNodes() throws {
        let bare = try BareMachine()
        let nodes = MemoryPolicy.nodes
        let pages: UInt64 = 4
        let file = try bare.machine.makeGuestMemoryFile(.guestMemfd(flags: BareMachine.touchable), size: pages * page)
        let start = file.map.address
        let wanted = (0..<Int(pages)).map { $0 % 2 == 0 ? nodes.first ?? 0 : nodes.last ?? 0 }
        for (index, node) in wanted.enumerated() {
            #expect(MemoryPolicy.bind(start + UInt(index) * 4096, 4096, .bind, nodes: 1 << node) == nil)
        }
        #expect(Touch.fill(0xAA, at: start, count: pages * page) == 0)
        for (index, node) in wanted.enumerated() {
            #expect(MemoryPolicy.node(of: start + UInt(index) * 4096) == node, "page \(index)")
        }
        // A page that was dropped comes from where its policy says, once more.
        try file.discard(offset: 0, length: pages * page)
        for (index, node) in wanted.enumerated().reversed() {
            #expect(Touch.put([1], at: start + UInt(index) * 4096) == 0)
            #expect(MemoryPolicy.node(of: start + UInt(index) * 4096) == node, "page \(index)")
        }
        print("G15 numa_allocation: \(nodes.count) node(s) with memory")
    }

    @Test("G16 guest", arguments: TestKernel.both) func guest(kernel: TestKernel) throws {
        let size = BareMachine.large
        let guest = try BareGuest(on: kernel)
        let file = try guest.machine.makeGuestMemoryFile(.guestMemfd(flags: BareMachine.touchable), size: size)
        #expect(Touch.fill(0xAA, at: file.map.address, count: size) == 0)
        try guest.machine.addSlot(
            1,
            guestAddress: BareMachine.data,
            size: size,
            hostAddress: file.map.address,
            guestMemfd: file,
            offset: 0
        )
        #expect(try guest.holds(0xAA, at: BareMachine.data, count: size))
        #expect(try !guest.holds(0xAB, at: BareMachine.data, count: size))
        try guest.fill(0xFF, at: BareMachine.data, count: size)
        #expect(Touch.holds(0xFF, at: file.map.address, count: size))
        let again = try file.mapAgain(length: size)
        #expect(Touch.holds(0xFF, at: again.address, count: size))
    }

    // MARK: Calls that the back end never makes

    private func status(of file: borrowing OwnedDescriptor) throws -> stat {
        var status = stat()
        guard unsafe fstat(file.rawValue, &status) == 0 else { throw Errno(rawValue: errno) }
        return status
    }

    /// What the kernel says against mapping the first page.
    private func map(_ file: borrowing OwnedDescriptor, _ flags: Int32) -> Errno? {
        let address = unsafe mmap(nil, 4096, PROT_READ | PROT_WRITE, flags, file.rawValue, 0)
        guard let address = unsafe address, unsafe address != MAP_FAILED else { return Errno(rawValue: errno) }
        return unsafe objection(Int(munmap(address, 4096)))
    }

    private func advise(_ address: UInt, _ length: UInt, _ advice: Int32) -> Errno? {
        unsafe objection(Int(madvise(UnsafeMutableRawPointer(bitPattern: address), Int(length), advice)))
    }
}

import CKVM
import Custody
import SystemPackage
import Testing

@testable import KVMBackend

/// The cases of the kernel's `private_mem_conversions_test` selftest, as black-box tests, in the mode `dual`, and on the
/// fake kernel also in the modes `attributes` and `in-place`, which are those that the selftest is about.
///
/// Each processor works in windows of its own, of 2 MiB and a page, and in each on the same five ranges. Where the
/// selftest's host finds old bytes behind a private page, this kernel's gets SIGBUS: its memory is a guest_memfd too.
@Suite(.timeLimit(.minutes(60))) struct PrivateMemConversionsTests {
    /// The modes in which the kernel stops the host, and both sides find zeroes after a conversion.
    private static let modes = ModeUnderTest.all.filter { $0.mode == .dual || $0.mode == .attributes }
    private static let inPlace = ModeUnderTest(mode: .inPlace, isFake: true)

    @Test("P1 explicit conversion with fallocate", arguments: modes + [inPlace]) func explicit(tested: ModeUnderTest)
        throws
    {
        try ConversionWindow.run(tested, processors: 1, regions: 1)
    }

    @Test("P4 processors and memory slots", .needsKVM, arguments: [(2, 1), (1, 2), (2, 3), (3, 2), (4, 1)])
    func several(processors: Int, regions: Int) throws {
        try ConversionWindow.run(
            ModeUnderTest(mode: .dual, isFake: false),
            processors: processors,
            regions: regions
        )
    }

    @Test(
        "P4 processors and memory slots, by attributes",
        arguments: [KVMMode.attributes, .inPlace],
        [(2, 1), (1, 2)]
    )
    func severalByAttributes(mode: KVMMode, shape: (processors: Int, regions: Int)) throws {
        try ConversionWindow.run(
            ModeUnderTest(mode: mode, isFake: true),
            processors: shape.processors,
            regions: shape.regions
        )
    }

    /// Nothing is punched: each file keeps its bytes while the guest is bound to the other.
    @Test("P2 explicit conversion without fallocate", arguments: TestKernel.both)
    func withoutFallocate(kernel: TestKernel) throws {
        let guest = try RebindingGuest(on: kernel, pages: ConversionWindow.pages)
        let whole = guest.window
        for part in ConversionWindow.ranges {
            let range = try ConversionWindow.range(part, in: whole)
            try guest.rebind(whole, to: .shared)
            try guest.fill(0xCC, whole)
            #expect(guest.hostHolds(0xCC, whole))
            // The private file starts empty, or with what the range before left there.
            try guest.rebind(range, to: .private)
            try guest.fill(0x11, range)
            for rest in ConversionWindow.rest(of: range, in: whole) { #expect(try guest.holds(0xCC, rest)) }
            #expect(try guest.holds(0x11, range))
            // The shared file's pages are still there for the host, and the guest does not see what is done to them.
            #expect(guest.hostHolds(0xCC, whole))
            guest.hostFill(0x22, range)
            #expect(try guest.holds(0x11, range))
            #expect(guest.privateSignal(range.start) == CKVM_SIGNAL_BUS)
            #expect(guest.privateSignal(range.last) == CKVM_SIGNAL_BUS)
            // Odd pages go back to shared: a mix of both.
            let pages = try ConversionWindow.pages(of: range)
            for page in pages where !page.start.rawValue.isMultiple(of: 2) {
                try guest.rebind(page, to: .shared)
                #expect(try guest.holds(0x22, page))
                try guest.fill(0x33, page)
                #expect(guest.hostHolds(0x33, page))
            }
            for page in pages {
                #expect(try guest.holds(page.start.rawValue.isMultiple(of: 2) ? 0x11 : 0x33, page))
            }
            // All of it private again finds the first bytes, and all of it shared what the host has put there.
            for page in pages where !page.start.rawValue.isMultiple(of: 2) { try guest.rebind(page, to: .private) }
            #expect(try guest.holds(0x11, range))
            try guest.rebind(range, to: .shared)
            guest.hostFill(0x44, whole)
            #expect(try guest.holds(0x44, whole))
        }
    }

    /// A hole of exactly the range, or of the whole window around it.
    @Test("P3 punch_hole", arguments: modes + [inPlace], [true, false]) func holes(
        tested: ModeUnderTest,
        isPrecise: Bool
    ) throws {
        let backend = try tested.backend(pages: ConversionWindow.pages)
        let window = ConversionWindow(
            backend: backend,
            processor: 0,
            whole: try Guests.range(0, ConversionWindow.pages)
        )
        try backend.change(window.whole, from: .shared, to: .private)
        for part in ConversionWindow.ranges {
            let range = try ConversionWindow.range(part, in: window.whole)
            try window.fill(0xCC, window.whole)
            #expect(try window.holds(0xCC, window.whole))
            try backend.discardContents(of: isPrecise ? range : window.whole)
            #expect(try window.holds(0, range))
            for rest in ConversionWindow.rest(of: range, in: window.whole) {
                #expect(try window.holds(isPrecise ? 0xCC : 0, rest))
            }
            // A hole changes no ownership.
            #expect(backend.hostError(at: range.address)?.fault?.enforcement == .kernel)
            try window.fill(0x11, range)
            #expect(try window.holds(0x11, range))
        }
    }

    /// The file has a reference of its own to the virtual machine.
    @Test("P5 fallocate after the virtual machine's descriptor is closed", arguments: TestKernel.both)
    func afterTheEnd(on tested: TestKernel) throws {
        let kernel = FailingKernel(try tested.make()) { call in
            if case .close = call { true } else { false }
        }
        let size = BareMachine.large + BareMachine.page
        let file: GuestMemoryFile
        let number: Int32
        do {
            let bare = try BareMachine(kernel: kernel)
            number = bare.machine.descriptor.rawValue
            file = try bare.machine.makeGuestMemoryFile(.guestMemfd(flags: BareMachine.touchable), size: size)
            try bare.machine.addSlot(
                0,
                guestAddress: 0,
                size: size,
                hostAddress: file.map.address,
                guestMemfd: file,
                offset: 0
            )
            #expect(Touch.fill(0xAA, at: file.map.address, count: size) == 0)
        }
        let isClosed = kernel.calls.contains { call in
            if case .close(number) = call { true } else { false }
        }
        #expect(isClosed)
        #expect(Touch.holds(0xAA, at: file.map.address, count: size))
        try file.discard(offset: 0, length: size)
        #expect(Touch.holds(0, at: file.map.address, count: size))
        try file.populate(offset: 0, length: size)
        let again = try file.mapAgain(length: size)
        #expect(Touch.fill(0xBB, at: again.address, count: size) == 0)
        #expect(Touch.holds(0xBB, at: file.map.address, count: size))
    }
}

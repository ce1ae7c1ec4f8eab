import CKVM
import Custody
import SystemPackage
import Testing

@testable import KVMBackend

/// The cases of the kernel's `guest_memfd_conversions_test` selftest (linux-next commits 8b72eaa766b6 to 0db3f14f40c4), as
/// black-box tests on the fake kernel: no kernel that is at hand has that interface.
@Suite(.timeLimit(.minutes(60))) struct GuestMemfdConversionsTests {
    private let page = ConvertingGuest.page

    @Test("C1 init_private") func beginsPrivate() throws {
        let guest = try ConvertingGuest(pages: 1, beginShared: false)
        try guest.testPrivate(0, before: 0, after: 1)
        try guest.convert(0, toPrivate: false)
        try guest.testShared(0, before: 1, host: 2, after: 3)
        try guest.convert(0, toPrivate: true)
        try guest.testPrivate(0, before: 3, after: 4)
    }

    @Test("C2 init_shared") func beginsShared() throws {
        let guest = try ConvertingGuest(pages: 1, beginShared: true)
        try guest.testShared(0, before: 0, host: 1, after: 2)
        try guest.convert(0, toPrivate: true)
        try guest.testPrivate(0, before: 2, after: 3)
        try guest.convert(0, toPrivate: false)
        try guest.testShared(0, before: 3, host: 4, after: 5)
    }

    /// Each page of four, and no other one.
    @Test("C3 indexing", arguments: UInt64(0)..<4, [true, false]) func indexing(which: UInt64, beginShared: Bool) throws
    {
        let guest = try ConvertingGuest(pages: 4, beginShared: beginShared)
        for index in UInt64(0)..<4 { try guest.guestPut(UInt8(10 + index), index) }
        try guest.convert(which, toPrivate: beginShared)
        for index in UInt64(0)..<4 {
            let isPrivate = (index == which) == beginShared
            #expect(guest.hostByte(index) == (isPrivate ? nil : UInt8(10 + index)))
            #expect(try guest.guestByte(index) == UInt8(10 + index))
        }
        try guest.convert(which, toPrivate: !beginShared)
        for index in UInt64(0)..<4 { #expect(guest.hostByte(index) == (beginShared ? UInt8(10 + index) : nil)) }
    }

    @Test("C4 before_allocation_shared") func sharedBeforeAllocation() throws {
        let guest = try ConvertingGuest(pages: 1, beginShared: false)
        let before = guest.fake.presentPages
        try guest.convert(0, toPrivate: false)
        #expect(guest.fake.presentPages == before)
        try guest.testShared(0, before: 0, host: 1, after: 2)
    }

    @Test("C5 before_allocation_private") func privateBeforeAllocation() throws {
        let guest = try ConvertingGuest(pages: 1, beginShared: true)
        let before = guest.fake.presentPages
        try guest.convert(0, toPrivate: true)
        #expect(guest.fake.presentPages == before)
        try guest.testPrivate(0, before: 0, after: 1)
    }

    /// Eight pages at once, some of which have no memory yet.
    @Test("C6 unallocated_folios", arguments: UInt64(0)..<8) func unallocated(which: UInt64) throws {
        let guest = try ConvertingGuest(pages: 8, beginShared: true)
        guest.hostPut(0x41, which)
        #expect(try guest.set(private: true, offset: 0, size: 8 * page).errno == nil)
        for index in UInt64(0)..<8 {
            #expect(guest.hostByte(index) == nil)
            if index == which { #expect(try guest.guestByte(index) == 0x41) }
        }
        #expect(try guest.set(private: false, offset: 0, size: 8 * page).errno == nil)
        for index in UInt64(0)..<8 { #expect(guest.hostByte(index) == (index == which ? 0x41 : 0)) }
    }

    /// A hole takes the bytes, and leaves the attribute.
    @Test("C7 truncate") func truncate() throws {
        let guest = try ConvertingGuest(pages: 2, beginShared: true)
        guest.hostPut(1, 0)
        guest.hostPut(2, 1)
        try guest.convert(0, toPrivate: true)
        try guest.file.discard(offset: 0, length: 2 * page)
        try guest.testPrivate(0, before: 0, after: 3)
        try guest.testShared(1, before: 0, host: 4, after: 5)
        try guest.convert(0, toPrivate: false)
        try guest.testShared(0, before: 3, host: 6, after: 7)
    }

    /// Every mapping of the host's loses the page. The selftest's second mapping is a child process's, which has the
    /// parent's mappings; to KVM a mapping is a mapping, so here it is a further one.
    @Test("C8 forked_accesses") func everyMapping() throws {
        let guest = try ConvertingGuest(pages: 2, beginShared: true)
        let other = try guest.file.mapAgain(length: 2 * page)
        #expect(Touch.put([1], at: other.address) == 0)
        #expect(guest.hostByte(0) == 1)
        try guest.convert(0, toPrivate: true)
        #expect(guest.hostByte(0) == nil)
        #expect(Touch.read(1, at: other.address).signal == CKVM_SIGNAL_BUS)
        #expect(Touch.read(1, at: other.address + 4096).signal == 0)
        let late = try guest.file.mapAgain(length: 2 * page)
        #expect(Touch.read(1, at: late.address).signal == CKVM_SIGNAL_BUS)
        try guest.convert(0, toPrivate: false)
        #expect(Touch.read(1, at: other.address).bytes == [1])
        #expect(Touch.read(1, at: late.address).bytes == [1])
    }

    /// One page of four is held: all at once and that page alone are refused with its very offset, every other page can be
    /// converted, and bytes are kept all along.
    @Test("C9 elevated_refcount", arguments: UInt64(0)..<4) func elevated(held: UInt64) throws {
        let guest = try ConvertingGuest(pages: 4, beginShared: true)
        for index in UInt64(0)..<4 { guest.hostPut(UInt8(index) + 1, index) }
        guest.pin(held)
        for (offset, size) in [(UInt64(0), 4 * page), (held * page, page)] {
            let refusal = try guest.set(private: true, offset: offset, size: size)
            #expect(refusal.errno == .resourceTemporarilyUnavailable)
            #expect(refusal.offset == held * page)
        }
        for index in UInt64(0)..<4 { #expect(guest.hostByte(index) == UInt8(index) + 1) }
        for index in UInt64(0)..<4 where index != held {
            try guest.convert(index, toPrivate: true)
            #expect(guest.hostByte(index) == nil)
        }
        guest.unpin(held)
        try guest.convert(held, toPrivate: true)
        for index in UInt64(0)..<4 { try guest.testPrivate(index, before: UInt8(index) + 1, after: UInt8(index) + 11) }
        #expect(try guest.set(private: false, offset: 0, size: 4 * page).errno == nil)
        for index in UInt64(0)..<4 { #expect(guest.hostByte(index) == UInt8(index) + 11) }
    }

    /// A kernel that has no memory for the attributes says where the range begins, and has changed nothing. It asks for
    /// memory before it looks for references, and not where the range is there already.
    @Test("no memory for attributes", arguments: [true, false]) func noMemory(toPrivate: Bool) throws {
        let guest = try ConvertingGuest(pages: 4, beginShared: toPrivate)
        for index in UInt64(0)..<4 { try guest.guestPut(UInt8(index) + 1, index) }
        if toPrivate { guest.pin(1) }
        guest.fake.setMemoryIsShort(true)
        let refusal = try guest.set(private: toPrivate, offset: page, size: 3 * page)
        #expect(refusal.errno == .noMemory)
        #expect(refusal.offset == page)
        #expect(try guest.set(private: !toPrivate, offset: 0, size: 4 * page).errno == nil)
        for index in UInt64(0)..<4 { #expect(guest.hostByte(index) == (toPrivate ? UInt8(index) + 1 : nil)) }
        guest.fake.setMemoryIsShort(false)
        guest.unpin(1)
        #expect(try guest.set(private: toPrivate, offset: page, size: 3 * page).errno == nil)
        for index in UInt64(0)..<4 { #expect(try guest.guestByte(index) == UInt8(index) + 1) }
    }

    /// With the file's attributes on, a guest_memfd serves both kinds of access, also one that the host cannot map: what
    /// lies at the slot's address of the host's is nobody's.
    @Test("KVM_MEMSLOT_GMEM_ONLY without GUEST_MEMFD_FLAG_MMAP") func unmappable() throws {
        let memory = try MappedMemory(nil, length: page, kernel: LinuxKernel())
        #expect(Touch.fill(0xEE, at: memory.address, count: page) == 0)
        let guest = try ConvertingGuest(pages: 1, flags: 0, hostAddress: memory.address)
        for (byte, isPrivate) in [(UInt8(0), false), (1, true), (2, false)] {
            #expect(try guest.guestByte(0) == byte)
            try guest.convert(0, toPrivate: isPrivate)
            #expect(try guest.guestByte(0) == byte)
            try guest.guestPut(byte + 1, 0)
        }
        #expect(Touch.holds(0xEE, at: memory.address, count: page))
    }

    /// A machine's own attributes are off while the files have theirs: where the request is built in it refuses the private
    /// attribute, and does nothing otherwise; where it is not there is no such request. The capability says none either way.
    @Test("KVM_SET_MEMORY_ATTRIBUTES beside the file's", arguments: [true, false])
    func machineAttributesAreOff(areBuiltIn: Bool) throws {
        var features = FakeFeatures.inPlace
        features.hasVMAttributes = areBuiltIn
        let guest = try ConvertingGuest(pages: 1, beginShared: false, features: features)
        let bare = try BareMachine(kernel: guest.fake, .softwareProtected)
        #expect(try bare.device.value(of: .memoryAttributes) == 0)
        func set(_ attributes: UInt64) throws -> Errno? {
            var request = ckvm_memory_attributes()
            request.address = BareMachine.data
            request.size = page
            request.attributes = attributes
            return try objection { try guest.requestOfMachine(.setMemoryAttributes, &request) }
        }
        #expect(try set(8) == (areBuiltIn ? .invalidArgument : .inappropriateIOCTLForDevice))
        #expect(try set(0) == (areBuiltIn ? nil : .inappropriateIOCTLForDevice))
        try guest.testPrivate(0, before: 0, after: 1)
    }

    @Test("two slots on the same pages of a file") func overlappingSlots() throws {
        let guest = try ConvertingGuest(pages: 2, beginShared: true)
        #expect(try guest.bindAgain(slot: 2) == .fileExists)
    }

    // MARK: The documented checks, in their order

    @Test("the checks of KVM_SET_MEMORY_ATTRIBUTES2") func checks() throws {
        let guest = try ConvertingGuest(pages: 4, beginShared: true)
        let wrong: [(String, UInt64, UInt64, (inout ckvm_memory_attributes2) -> Void)] = [
            ("a flag", 0, page, { $0.flags = 1 }),
            ("a reserved word", 0, page, { $0.reserved.10 = 1 }),
            ("another attribute", 0, page, { $0.attributes = 1 }),
            ("no page", 0, 0, { _ in }),
            ("a wrap", .max - page + 1, 2 * page, { _ in }),
            ("a misaligned offset", 1, page, { _ in }),
            ("a misaligned size", 0, page + 1, { _ in }),
            ("beyond the end", 4 * page, page, { _ in }),
            ("past the end", 3 * page, 2 * page, { _ in }),
        ]
        // A held page does not come before what is wrong with the request.
        guest.pin(0)
        for (name, offset, size, change) in wrong {
            let refusal = try guest.set(private: true, offset: offset, size: size, change)
            #expect(refusal.errno == .invalidArgument, "\(name)")
            #expect(refusal.offset == .max, "\(name)")
        }
        // What is there already is no question of references.
        #expect(try guest.set(private: false, offset: 0, size: page).errno == nil)
        try guest.convert(1, toPrivate: true)
        guest.pin(1)
        #expect(try guest.set(private: true, offset: page, size: page).errno == nil)
        // A range that is partly there is: the page that is held is named, private or not.
        let mixed = try guest.set(private: true, offset: page, size: 2 * page)
        #expect(mixed.errno == .resourceTemporarilyUnavailable)
        #expect(mixed.offset == page)
        // Giving asks nobody.
        #expect(try guest.set(private: false, offset: page, size: page).errno == nil)
    }

    @Test("a machine without private memory, a kernel without the request") func absent() throws {
        let plain = try BareMachine(kernel: FakeKernel(.inPlace))
        let file = try plain.makeFile(size: page, flags: BareMachine.touchable)
        var request = ckvm_memory_attributes2()
        request.size = page
        #expect(try objection { try file.request(.setMemoryAttributes2, &request) } == .invalidArgument)
        for kernel in TestKernel.both {
            let bare = try BareMachine(on: kernel)
            let file = try bare.makeFile(size: page, flags: BareMachine.touchable)
            #expect(
                try objection { try file.request(.setMemoryAttributes2, &request) } == .inappropriateIOCTLForDevice
            )
            var attributes = ckvm_memory_attributes()
            attributes.size = page
            let refusal = try objection { try bare.machine.descriptor.request(.setMemoryAttributes, &attributes) }
            #expect(refusal == .inappropriateIOCTLForDevice)
        }
    }

    @Test("the checks of KVM_SET_MEMORY_ATTRIBUTES") func machineChecks() throws {
        let bare = try BareMachine(kernel: FakeKernel(.attributes), .softwareProtected)
        func set(_ address: UInt64, _ size: UInt64, attributes: UInt64 = 8, flags: UInt64 = 0) throws -> Errno? {
            var request = ckvm_memory_attributes()
            request.address = address
            request.size = size
            request.attributes = attributes
            request.flags = flags
            return try objection { try bare.machine.descriptor.request(.setMemoryAttributes, &request) }
        }
        #expect(try set(0, page, flags: 1) == .invalidArgument)
        #expect(try set(0, page, attributes: 4) == .invalidArgument)
        #expect(try set(0, 0) == .invalidArgument)
        #expect(try set(.max - page + 1, 2 * page) == .invalidArgument)
        #expect(try set(1, page) == .invalidArgument)
        #expect(try set(0, page + 1) == .invalidArgument)
        #expect(try set(0, page) == nil)
        #expect(try set(0, page) == nil)
        // A machine that could never make them private may not have files whose pages begin shared.
        #expect(try objection { _ = try bare.makeFile(size: page, flags: BareMachine.touchable) } == .invalidArgument)
        let plain = try BareMachine(kernel: bare.kernel)
        var request = ckvm_memory_attributes()
        request.size = page
        request.attributes = 8
        #expect(
            try objection { try plain.machine.descriptor.request(.setMemoryAttributes, &request) } == .invalidArgument
        )
    }
}

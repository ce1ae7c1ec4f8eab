import CKVM
import Custody
import SystemPackage
import Testing

@testable import KVMBackend

/// A virtual machine with private memory on the fake kernel, with one guest_memfd that can be converted in place in slot 1,
/// and the guest program on one processor: what the conversion cases begin with.
final class ConvertingGuest: Sendable {
    static let page = BareMachine.page

    let fake: FakeKernel
    let file: GuestMemoryFile
    private let machine: VirtualMachine
    private let boot: BootMemory
    private let gate = QuiesceGate(.test)
    private let processor: VirtualProcessor

    /// Makes a guest whose pages begin shared, or private.
    convenience init(pages: UInt64, beginShared: Bool, features: FakeFeatures = .inPlace) throws {
        let flags = beginShared ? BareMachine.touchable : BareMachine.mappable
        try self.init(pages: pages, flags: flags, features: features)
    }

    /// Makes a guest whose file has these flags.
    ///
    /// - Parameter hostAddress: the slot's address of the host's; where there is none, that of the file's mapping.
    init(pages: UInt64, flags: UInt64, hostAddress: UInt? = nil, features: FakeFeatures = .inPlace) throws {
        fake = try FakeKernel(features)
        let bare = try BareMachine(kernel: fake, .softwareProtected)
        machine = try bare.device.makeVirtualMachine(.softwareProtected)
        boot = try BareMachine.addProgram(to: machine)
        file = try machine.makeGuestMemoryFile(.guestMemfd(flags: flags), size: pages * ConvertingGuest.page)
        try machine.addSlot(
            1,
            guestAddress: BareMachine.data,
            size: pages * ConvertingGuest.page,
            hostAddress: hostAddress ?? file.map.address,
            guestMemfd: file,
            offset: 0
        )
        processor = try VirtualProcessor(
            0,
            of: machine,
            programSlot: BootSlot(0, boot, of: machine),
            gate: gate,
            tracker: .idle(machine)
        )
    }

    deinit {
        processor.end(because: BackendError(.guestFailed, "the case is over"))
        gate.shut()
        processor.waitForEnd()
    }

    /// Asks the kernel for a conversion.
    ///
    /// - Returns: its objection, and the offset that it names then.
    func set(
        private isPrivate: Bool,
        offset: UInt64,
        size: UInt64,
        _ change: (inout ckvm_memory_attributes2) -> Void = { _ in }
    ) throws -> (errno: Errno?, offset: UInt64) {
        var request = ckvm_memory_attributes2()
        request.offset = offset
        request.size = size
        request.attributes = isPrivate ? UInt64(CKVM_MEMORY_ATTRIBUTE_PRIVATE) : 0
        request.error_offset = .max
        change(&request)
        var offset: UInt64 = .max
        let refusal = try objection {
            defer { offset = request.error_offset }
            _ = try file.descriptor.request(.setMemoryAttributes2, &request)
        }
        return (refusal, offset)
    }

    /// Makes a request of the virtual machine's.
    func requestOfMachine<Structure>(_ request: KVMRequest, _ structure: inout Structure) throws(KVMError) {
        try machine.descriptor.request(request, &structure)
    }

    /// Asks for one slot more on the file's first page, at an address that is free.
    ///
    /// - Returns: the kernel's objection.
    func bindAgain(slot: UInt32) throws -> Errno? {
        try objection {
            try machine.addSlot(
                slot,
                guestAddress: BareMachine.data + BareMachine.large,
                size: ConvertingGuest.page,
                hostAddress: file.map.address,
                guestMemfd: file,
                offset: 0
            )
        }
    }

    /// Converts one page, which must work.
    func convert(_ page: UInt64, toPrivate isPrivate: Bool) throws {
        let result = try set(private: isPrivate, offset: page * ConvertingGuest.page, size: ConvertingGuest.page)
        #expect(result.errno == nil)
        // Only an error writes to the field.
        #expect(result.offset == .max)
    }

    func address(_ page: UInt64) -> UInt64 { BareMachine.data + page * ConvertingGuest.page }

    func pin(_ page: UInt64) { fake.pin(GuestPhysicalAddress(address(page))) }
    func unpin(_ page: UInt64) { fake.unpin(GuestPhysicalAddress(address(page))) }

    // MARK: Probes

    func hostAddress(_ page: UInt64) -> UInt { file.map.address + UInt(page * ConvertingGuest.page) }

    /// What the host finds in a page's first byte, or `nil` where it is stopped by SIGBUS.
    func hostByte(_ page: UInt64) -> UInt8? {
        let (bytes, signal) = Touch.read(1, at: hostAddress(page))
        #expect(signal == 0 || signal == CKVM_SIGNAL_BUS)
        return signal == 0 ? bytes[0] : nil
    }

    /// What the guest finds there.
    func guestByte(_ page: UInt64) throws -> UInt8 {
        guard case .done(_, _, let bytes) = try perform(.read(count: 1, address: address(page))) else {
            throw Unexpected.outcome
        }
        return bytes[0]
    }

    func guestPut(_ byte: UInt8, _ page: UInt64) throws {
        guard case .done = try perform(.write([byte], address: address(page))) else { throw Unexpected.outcome }
    }

    func hostPut(_ byte: UInt8, _ page: UInt64) { #expect(Touch.put([byte], at: hostAddress(page)) == 0) }

    /// The selftest's look at a private page: the host can neither write nor read it, the guest finds `before` and leaves
    /// `after`.
    func testPrivate(_ page: UInt64, before: UInt8, after: UInt8, line: Int = #line) throws {
        #expect(Touch.put([0xEE], at: hostAddress(page)) == CKVM_SIGNAL_BUS, "line \(line)")
        #expect(try guestByte(page) == before, "line \(line)")
        try guestPut(after, page)
        #expect(hostByte(page) == nil, "line \(line)")
    }

    /// The selftest's look at a shared page: the host finds `before` and leaves `host`, the guest finds that and leaves
    /// `after`, which the host sees.
    func testShared(_ page: UInt64, before: UInt8, host: UInt8, after: UInt8, line: Int = #line) throws {
        #expect(hostByte(page) == before, "line \(line)")
        hostPut(host, page)
        #expect(try guestByte(page) == host, "line \(line)")
        try guestPut(after, page)
        #expect(hostByte(page) == after, "line \(line)")
    }

    private func perform(_ command: GuestCommand) throws -> GuestCommandResult {
        try processor.withTurn { () throws(BackendError) in
            try processor.perform(command, answeringTo: Refusing())
        }
    }
}

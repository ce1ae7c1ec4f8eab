import CKVM
import Custody
import SystemPackage
import Testing

@testable import KVMBackend

/// The cases of the kernel's `pre_fault_memory_test` selftest, as black-box tests on the fake kernel, for the three kinds of
/// guests that it runs: this machine's KVM has no `KVM_CAP_PRE_FAULT_MEMORY`.
@Suite(.timeLimit(.minutes(60))) struct PreFaultMemoryTests {
    private let page = BareMachine.page
    private let large = BareMachine.large
    private let start = BareMachine.data

    enum Guest: String, CaseIterable, CustomTestStringConvertible {
        case plain
        case protectedShared
        case protectedPrivate
        var testDescription: String { rawValue }
    }

    /// A guest with 2 MiB and a page in slot 10, and one processor.
    private final class Machine {
        let fake: FakeKernel
        let machine: VirtualMachine
        let processor: ProcessorDescriptor
        let shared: GuestMemoryFile
        let `private`: GuestMemoryFile?
        let size: UInt64

        init(_ guest: Guest) throws {
            var features: FakeFeatures = guest == .plain ? .plain : .attributes
            features.hasPreFault = true
            let fake = try FakeKernel(features)
            let device = try KVMDevice(kernel: fake)
            let machine = try device.makeVirtualMachine(guest == .plain ? .default : .softwareProtected)
            let size = BareMachine.large + BareMachine.page
            shared = try machine.makeGuestMemoryFile(.memfd, size: size)
            `private` = guest == .plain ? nil : try machine.makeGuestMemoryFile(.guestMemfd(flags: 0), size: size)
            processor = try machine.makeProcessor(0)
            self.fake = fake
            self.size = size
            self.machine = machine
            try addSlot()
            guard guest == .protectedPrivate else { return }
            var request = ckvm_memory_attributes()
            request.address = BareMachine.data
            request.size = size
            request.attributes = UInt64(CKVM_MEMORY_ATTRIBUTE_PRIVATE)
            try self.machine.descriptor.request(.setMemoryAttributes, &request)
        }

        func addSlot() throws {
            try machine.addSlot(
                10,
                guestAddress: BareMachine.data,
                size: size,
                hostAddress: shared.map.address,
                guestMemfd: `private`,
                offset: 0
            )
        }

        func removeSlot() throws { try machine.removeSlot(10) }

        /// Asks once. The rest of the range, and the kernel's objection.
        func ask(_ address: UInt64, _ size: UInt64, flags: UInt64 = 0) throws -> (left: UInt64, errno: Errno?) {
            var request = ckvm_pre_fault_memory()
            request.gpa = address
            request.size = size
            request.flags = flags
            let errno = try objection { try processor.preFault(&request) }
            #expect(request.gpa &+ request.size == address &+ size)
            return (request.size, errno)
        }

        /// Asks again as long as there is something left, or a signal came in between.
        func askToTheEnd(_ address: UInt64, _ size: UInt64) throws -> (left: UInt64, errno: Errno?) {
            var left = size
            while true {
                let before = left
                let answer = try ask(address + (size - left), left)
                left = answer.left
                // F4: the range gets smaller exactly when the request succeeds.
                #expect((left < before) == (answer.errno == nil))
                if let errno = answer.errno, errno != .interrupted { return (left, errno) }
                if left == 0 { return (0, nil) }
            }
        }
    }

    @Test("F1 the whole range", arguments: Guest.allCases) func whole(guest: Guest) throws {
        let machine = try Machine(guest)
        let before = machine.fake.presentPages
        #expect(try machine.askToTheEnd(start, large) == (0, nil))
        #expect(machine.fake.presentPages == before + 512)
        // Where the pages belong, and nowhere else.
        let file = guest == .protectedPrivate ? machine.private : machine.shared
        #expect(try machine.shared.hasMemory(offset: 0, length: large) == (file === machine.shared))
    }

    @Test("F2 across the end", arguments: Guest.allCases) func acrossTheEnd(guest: Guest) throws {
        let machine = try Machine(guest)
        #expect(try machine.askToTheEnd(start + large, 2 * page) == (page, .noSuchFileOrDirectory))
    }

    @Test("F3 past the end", arguments: Guest.allCases) func pastTheEnd(guest: Guest) throws {
        let machine = try Machine(guest)
        #expect(try machine.askToTheEnd(start + large + page, page) == (page, .noSuchFileOrDirectory))
    }

    @Test("F4 the size changes with success alone", arguments: Guest.allCases) func progress(guest: Guest) throws {
        let machine = try Machine(guest)
        machine.fake.interruptPreFaults([(3, .interrupted)])
        #expect(try machine.ask(start, 8 * page) == (5 * page, nil))
        machine.fake.interruptPreFaults([(0, .resourceTemporarilyUnavailable)])
        #expect(try machine.ask(start, 8 * page) == (8 * page, .resourceTemporarilyUnavailable))
    }

    @Test("F5 a signal in between", arguments: Guest.allCases) func interrupted(guest: Guest) throws {
        let machine = try Machine(guest)
        machine.fake.interruptPreFaults([(0, .interrupted), (7, .interrupted), (0, .interrupted)])
        #expect(try machine.askToTheEnd(start, large) == (0, nil))
        #expect(machine.fake.presentPages == 512)
    }

    @Test("F6 a slot that is being replaced", arguments: Guest.allCases) func replacedSlot(guest: Guest) throws {
        let machine = try Machine(guest)
        machine.fake.setVanishing(10, true)
        #expect(try machine.ask(start, page) == (page, .resourceTemporarilyUnavailable))
        try machine.removeSlot()
        machine.fake.setVanishing(10, false)
        #expect(try machine.ask(start, page).errno != nil)
        try machine.addSlot()
        #expect(try machine.ask(start, page) == (0, nil))
    }

    @Test("F7 no size", arguments: Guest.allCases) func noSize(guest: Guest) throws {
        let machine = try Machine(guest)
        #expect(try machine.ask(start, 0).errno == .invalidArgument)
        #expect(try machine.ask(start + 1, page).errno == .invalidArgument)
        #expect(try machine.ask(start, page + 1).errno == .invalidArgument)
        #expect(try machine.ask(.max - page + 1, 2 * page).errno == .invalidArgument)
        #expect(try machine.ask(start, page, flags: 1).errno == .invalidArgument)
    }

    // MARK: The back end

    /// Signals, slots in motion and a range that shrinks are the back end's to deal with, not its caller's.
    @Test(arguments: [KVMMode.dual, .attributes]) func theBackEndGetsOn(mode: KVMMode) throws {
        var features = FakeFeatures.for(mode)
        features.hasPreFault = true
        let fake = try FakeKernel(features)
        let backend = try Guests.backend(mode, kernel: fake)
        try backend.change(Guests.range(8, 8), from: .shared, to: .private)
        let before = fake.presentPages
        fake.interruptPreFaults([
            (0, .interrupted), (3, .interrupted), (0, .resourceTemporarilyUnavailable), (2, .noMemory),
            (0, .interrupted),
        ])
        try backend.populate(Guests.range(0, 512))
        #expect(fake.presentPages == before + 512)
    }

    @Test func whatDoesNotPassIsAnError() throws {
        var features = FakeFeatures.plain
        features.hasPreFault = true
        let fake = try FakeKernel(features)
        let backend = try Guests.backend(.dual, kernel: fake)
        fake.interruptPreFaults([(0, .noMemory)])
        let error = #expect(throws: BackendError.self) { try backend.populate(Guests.range(2, 4)) }
        #expect(error?.code == .resourcesExhausted)
        #expect(error?.range == (try? Guests.range(2, 4)))
        #expect((error?.cause as? KVMError)?.call == "KVM_PRE_FAULT_MEMORY")
        try backend.populate(Guests.range(2, 4))
    }

    /// Where KVM says that it cannot for this guest, the file has to do.
    @Test func whatKVMCannotTheFileDoes() throws {
        var features = FakeFeatures.plain
        features.hasPreFault = true
        let fake = try FakeKernel(features)
        let backend = try Guests.backend(.dual, kernel: fake)
        let before = fake.presentPages
        fake.interruptPreFaults([(0, .notSupportedOnSocket)])
        try backend.populate(Guests.range(2, 4))
        #expect(fake.presentPages == before + 4)
    }
}

import CKVM
import Custody
import Testing

@testable import KVMBackend

/// A guest of the mode `dual` without a back end: its pages are bound to the one or the other file, and nothing is ever
/// dropped from either.
final class RebindingGuest: Sendable {
    /// The guest's RAM.
    let window: PageRange
    private let machine: MachineMemory
    private let own: OwnMachine
    private var gate: QuiesceGate { own.gate }
    private var processor: VirtualProcessor { own.processors[0] }
    private let slots: Monitor<SlotMap>

    init(on kernel: TestKernel, pages: UInt64) throws {
        let bare = try BareMachine(on: kernel)
        window = try Guests.range(0, pages)
        let layout = try GuestMemoryLayout(regions: [window])
        var map = SlotMap(bounds: layout.bounds, firstNumber: OwnMachine.programSlotNumber + 1)
        machine = try MachineMemory(bare.device.makeVirtualMachine(), .dual, layout, .memfd)
        try machine.virtualMachine.setTaskStateSegment()
        try machine.bind(layout, &map)
        slots = Monitor(map)
        own = try OwnMachine(
            of: machine.virtualMachine,
            try BootMemory.placement(beside: layout, processors: 1),
            processors: 1,
            QuiesceGate(.test),
            .idle(machine.virtualMachine)
        )
    }

    deinit {
        own.end(because: BackendError(.guestFailed, "the case is over")) { _ in }
    }

    /// Binds the pages to a file.
    func rebind(_ range: PageRange, to backing: Backing) throws {
        let result: Result<Void, any Error> = try gate.withProcessorsOut {
            slots.update { slots in
                Result {
                    let steps = try #require(slots.steps(for: range, to: backing))
                    for step in steps {
                        switch step {
                        case .add(let part, let backing):
                            let number = slots.takeNumber()
                            try machine.ram.bind(
                                number,
                                to: part,
                                offset: offset(of: part.start),
                                backing,
                                in: machine.virtualMachine
                            )
                            slots.add(number, part)
                        case .remove(let part, _):
                            try machine.virtualMachine.removeSlot(try #require(slots.number(of: part)))
                            slots.remove(part)
                        case .convert: throw Unexpected.outcome
                        }
                    }
                    slots.settle(range, to: backing, growth: SlotMap.growth(of: steps))
                }
            }
        }
        try result.get()
    }

    /// Whether the guest finds one byte everywhere in some pages.
    func holds(_ byte: UInt8, _ range: PageRange) throws -> Bool {
        try perform(.compare(byte: byte, address: range.address.rawValue, count: range.byteCount))
            == .done(value: range.byteCount, address: 0, bytes: [])
    }

    /// Has the guest fill pages with one byte.
    func fill(_ byte: UInt8, _ range: PageRange) throws {
        let command = GuestCommand.fill(
            pattern: UInt64(byte) &* 0x0101_0101_0101_0101,
            address: range.address.rawValue,
            count: range.byteCount
        )
        guard case .done = try perform(command) else { throw Unexpected.outcome }
    }

    /// Whether the host finds one byte everywhere in pages of the shared file.
    func hostHolds(_ byte: UInt8, _ range: PageRange) -> Bool {
        Touch.holds(byte, at: machine.ram.windows.shared + UInt(offset(of: range.start)), count: range.byteCount)
    }

    /// Fills pages of the shared file, whatever the guest is bound to.
    func hostFill(_ byte: UInt8, _ range: PageRange) {
        let start = machine.ram.windows.shared + UInt(offset(of: range.start))
        #expect(Touch.fill(byte, at: start, count: range.byteCount) == 0)
    }

    /// What stops the host from a page of the private file.
    func privateSignal(_ page: PageNumber) -> Int32 {
        Touch.read(1, at: machine.ram.windows.private + UInt(offset(of: page))).signal
    }

    private func offset(of page: PageNumber) -> UInt64 { (page.rawValue - window.start.rawValue) * 4096 }

    private func perform(_ command: GuestCommand) throws -> GuestCommandResult {
        try processor.withTurn { () throws(BackendError) in
            try processor.perform(command, answeringTo: Refusing())
        }
    }
}

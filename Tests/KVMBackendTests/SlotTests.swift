import Custody
import Testing

@testable import KVMBackend

@Suite struct SlotMapTests {
    /// Against a plain array of pages: every change ends in exactly one slot for each maximal run, and no two slots
    /// with one number.
    @Test(arguments: 0..<20) func slotsAreTheMaximalRuns(seed: UInt64) throws {
        var generator = Generator(state: seed &+ 1)
        let bounds = try PageRange(start: PageNumber(1000), count: 64)
        var map = SlotMap(bounds: bounds, firstNumber: 1)
        var pages = [Backing](repeating: .none, count: 64)
        var inKernel: [UInt32: (PageRange, Backing)] = [:]
        for _ in 0..<400 {
            let first = Int(generator.next() % 64)
            let length = Int(generator.next() % 8) + 1
            let backing = Backing(rawValue: UInt8(generator.next() % 3)) ?? .none
            let range = try PageRange(start: PageNumber(1000 + UInt64(first)), count: UInt64(length))
            let isUniform =
                first + length <= 64 && pages[first..<min(64, first + length)].allSatisfy { $0 == pages[first] }
            let steps = map.steps(for: range, to: backing)
            #expect((steps != nil) == isUniform)
            guard let steps else { continue }
            #expect(steps.count <= 5)
            for step in steps {
                switch step {
                case .add(let range, let backing):
                    let number = map.takeNumber()
                    #expect(inKernel[number] == nil)
                    #expect(!inKernel.values.contains { $0.0.overlaps(range) })
                    inKernel[number] = (range, backing)
                    map.add(number, range)
                case .remove(let range, let backing):
                    let number = try #require(map.number(of: range))
                    let removed = inKernel.removeValue(forKey: number)
                    let slot = try #require(removed)
                    #expect(slot.0 == range && slot.1 == backing)
                    map.remove(range)
                case .convert: Issue.record("a window has no slot")
                }
            }
            map.settle(range, to: backing, growth: SlotMap.growth(of: steps))
            for page in first..<(first + length) { pages[page] = backing }
            #expect(map.slotCount == inKernel.count)
            var expected: [(PageRange, Backing)] = []
            var start = 0
            while start < 64 {
                var end = start
                while end < 64, pages[end] == pages[start] { end += 1 }
                if pages[start] != .none {
                    let run = try PageRange(start: PageNumber(1000 + UInt64(start)), count: UInt64(end - start))
                    expected.append((run, pages[start]))
                }
                start = end
            }
            let actual = inKernel.values.sorted { $0.0.start < $1.0.start }
            #expect(actual.map(\.0) == expected.map(\.0))
            #expect(actual.map(\.1) == expected.map(\.1))
        }
    }
}

@Suite struct PageBitsTests {
    @Test(arguments: 0..<10) func bitsAreThoseOfAnArray(seed: UInt64) throws {
        var generator = Generator(state: seed &+ 99)
        let bounds = try PageRange(start: PageNumber(7), count: 300)
        let bits = try PageBits(bounds: bounds, kernel: LinuxKernel())
        var model = [Bool](repeating: false, count: 300)
        for _ in 0..<300 {
            let first = Int(generator.next() % 300)
            let count = Int(generator.next() % UInt64(300 - first)) % 140 + 1
            let bit = generator.next() % 2 == 0
            bits.set(try PageRange(start: PageNumber(UInt64(7 + first)), count: UInt64(count)), to: bit)
            for index in first..<(first + count) { model[index] = bit }
            let from = Int(generator.next() % 300)
            let same = model[from...].prefix { $0 == model[from] }.count
            let page = PageNumber(UInt64(7 + from))
            #expect(bits.bit(at: page) == model[from])
            #expect(bits.runLength(from: page, limit: UInt64(300 - from)) == UInt64(same))
            #expect(bits.runLength(from: page, limit: 3) == UInt64(min(3, bits.runLength(from: page, limit: 300))))
        }
    }
}

@Suite(.needsKVM, .timeLimit(.minutes(60))) struct SlotLimitTests {
    /// Without a slot left a change is refused before anything happens, and one that needs none still works.
    @Test func withoutSlotsNothingChanges() throws {
        // One slot for the guest program, one for the RAM, two for the first page, two for the second.
        let backend = try Guests.backend(.dual, slotLimit: 6)
        try backend.change(Guests.range(10, 1), from: .shared, to: .private)
        try backend.change(Guests.range(20, 1), from: .shared, to: .private)
        let runs = backend.slotRuns.map(\.range)
        let error = #expect(throws: BackendError.self) {
            _ = try backend.prepare(
                OwnershipChange(range: Guests.range(30, 1), from: .shared, to: .private, initiator: .guest)
            )
        }
        #expect(error?.code == .resourcesExhausted)
        #expect(backend.slotRuns.map(\.range) == runs)
        #expect(try backend.guestWrite([1], to: Guests.address(30)) == .written)
        #expect(try backend.hostRead(1, from: Guests.address(30)) == [1])
        // Growing a run needs no slot, and giving one back makes room.
        try backend.change(Guests.range(11, 1), from: .shared, to: .private)
        try backend.change(Guests.range(20, 1), from: .private, to: .shared)
        try backend.change(Guests.range(30, 1), from: .shared, to: .private)
    }

    /// The room that an undo needs is kept until the change is finished.
    @Test func anUndoHasItsSlots() throws {
        let backend = try Guests.backend(.dual, slotLimit: 4)
        try backend.change(Guests.range(10, 1), from: .shared, to: .private)
        let committed = try backend.commitOnly(Guests.range(10, 1), from: .private, to: .shared)
        #expect(throws: BackendError.self) {
            _ = try backend.prepare(
                OwnershipChange(range: Guests.range(30, 1), from: .shared, to: .private, initiator: .guest)
            )
        }
        try backend.undo(committed)
        #expect(backend.slotRuns.count == 3)
    }

    @Test func theKernelsOwnLimitIsRespected() throws {
        // Every other page private, until there are no slots: the kernel itself never has to refuse.
        let backend = try Guests.backend(.dual, pages: 2048, slotLimit: 1000)
        var converted: UInt64 = 0
        var refusal: BackendError?
        for page in stride(from: UInt64(1), to: 2048, by: 2) {
            do {
                try backend.change(Guests.range(page, 1), from: .shared, to: .private)
                converted += 1
            } catch {
                refusal = error as? BackendError
                break
            }
        }
        #expect(converted == 499)
        #expect(refusal?.code == .resourcesExhausted)
        #expect(try backend.guestWrite([5], to: Guests.address(997)) == .written)
        #expect(try backend.guestRead(1, from: Guests.address(997)) == .bytes([5]))
        #expect(backend.hostError(at: Guests.address(997))?.fault?.enforcement == .kernel)
        #expect(backend.hostError(at: Guests.address(999)) == nil)
    }

    /// The real number of slots, all but used up by a guest of many regions: what needs one more is refused and changes
    /// nothing, and what frees one makes room.
    @Test func theRealNumberOfSlotsIsRespected() throws {
        let device = try KVMDevice(kernel: LinuxKernel())
        let slots = try KVMFeatures(of: device)[.memorySlots]
        // Spare ones for what is taken back, one for the guest's program, one for the region of eight pages, and one left.
        let regions = slots - 16 - 1 - 1 - 1
        let layout = try GuestMemoryLayout(
            regions: [Guests.range(0, 8)] + (0..<UInt64(regions)).map { try Guests.range(9 + 2 * $0, 1) }
        )
        let backend = try KVMBackend(GuestConfiguration(layout: layout), mode: .dual)
        func count() -> Int { backend.slotRuns.count { $0.backing != .none } }
        #expect(count() == regions + 1)
        let far = Guests.address(9 + 2 * UInt64(regions - 1))
        #expect(try backend.guestWrite([7], to: far) == .written)
        try backend.hostWrite([5], to: Guests.address(3))
        // A page within the region needs two slots more; one at its border needs one.
        let middle = try Guests.range(3, 1)
        for _ in 0..<2 {
            let error = #expect(throws: BackendError.self) {
                try backend.change(middle, from: .shared, to: .private)
            }
            #expect(error?.code == .resourcesExhausted)
            #expect(count() == regions + 1)
            #expect(try backend.guestRead(1, from: Guests.address(3)) == .bytes([5]))
            #expect(try backend.hostRead(1, from: Guests.address(3)) == [5])
        }
        try backend.change(Guests.range(0, 1), from: .shared, to: .private)
        #expect(count() == regions + 2)
        let border = #expect(throws: BackendError.self) {
            try backend.change(Guests.range(7, 1), from: .shared, to: .private)
        }
        #expect(border?.code == .resourcesExhausted)
        // A run that is wholly converted needs none; a page that goes to the host frees its own.
        try backend.change(Guests.range(9, 1), from: .shared, to: .private)
        try backend.change(Guests.range(11, 1), from: .shared, to: .host)
        try backend.change(Guests.range(7, 1), from: .shared, to: .private)
        #expect(backend.hostError(at: Guests.address(7))?.code == .accessDenied)
        #expect(try backend.guestRead(1, from: far) == .bytes([7]))
        print("\(slots) memory slots, all but \(slots - count() - 1) of them used")
    }
}

/// A small generator of the same numbers each time (SplitMix64).
struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
}

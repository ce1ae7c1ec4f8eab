import Custody
import Testing

@testable import KVMBackend

/// What every mode promises, on every kernel that has it.
@Suite(.timeLimit(.minutes(60))) struct ModeTests {
    @Test(arguments: ModeUnderTest.all) func conversionsDoWhatIsDeclared(tested: ModeUnderTest) throws {
        let backend = try tested.backend()
        let range = try Guests.range(4, 8)
        let page = Guests.address(6, 16)
        try backend.hostWrite([1, 2, 3], to: page)
        try backend.hostWrite([9], to: Guests.address(3))
        try backend.hostWrite([9], to: Guests.address(12))

        #expect(try backend.change(range, from: .shared, to: .private) == backend.capabilities.contents.toPrivate)
        if let byte = tested.afterConversion(2) {
            #expect(try backend.guestRead(1, from: Guests.address(6, 17)) == .bytes([byte]))
        }
        #expect(try backend.guestWrite([4, 5, 6], to: page) == .written)
        #expect(try backend.guestRead(3, from: page) == .bytes([4, 5, 6]))
        let error = try #require(backend.hostError(at: page))
        #expect(error.code == .accessDenied)
        #expect(error.fault?.enforcement == backend.capabilities.enforcement)
        #expect(error.fault?.address == page)
        #expect(throws: BackendError.self) { try backend.hostWrite([1], to: page) }
        #expect(try backend.guestRead(3, from: page) == .bytes([4, 5, 6]))
        #expect(try backend.hostRead(1, from: Guests.address(3)) == [9])
        #expect(try backend.hostRead(1, from: Guests.address(12)) == [9])

        #expect(try backend.change(range, from: .private, to: .shared) == backend.capabilities.contents.toShared)
        if let byte = tested.afterConversion(5) {
            #expect(try backend.hostRead(1, from: Guests.address(6, 17)) == [byte])
            #expect(try backend.guestRead(1, from: Guests.address(6, 17)) == .bytes([byte]))
        }
        try backend.hostWrite([7], to: page)
        #expect(try backend.guestRead(1, from: page) == .bytes([7]))
        #expect(backend.slotRuns.count == 1)
    }

    @Test(arguments: ModeUnderTest.all) func hostPagesAreOutOfTheGuestsReach(tested: ModeUnderTest) throws {
        let backend = try tested.backend()
        let range = try Guests.range(10, 2)
        for before in [Ownership.shared, .private] {
            if before == .private { try backend.change(range, from: .shared, to: .private) }
            _ = try backend.guestWrite([5], to: Guests.address(10))
            let effect = try backend.change(range, from: before, to: .host)
            #expect(before != .shared || effect == .preserved)
            #expect(try backend.guestRead(1, from: Guests.address(11)) == .fault(Guests.address(11)))
            #expect(try backend.guestWrite([1], to: Guests.address(10)) == .fault(Guests.address(10)))
            let seen = try backend.hostRead(1, from: Guests.address(10))
            if before == .shared {
                #expect(seen == [5])
            } else if let byte = tested.afterConversion(5) {
                #expect(seen == [byte])
            }
            try backend.hostWrite([77], to: Guests.address(11))
            #expect(try backend.change(range, from: .host, to: .shared) == .preserved)
            #expect(try backend.guestRead(1, from: Guests.address(11)) == .bytes([77]))
        }
        try backend.change(range, from: .shared, to: .host)
        try backend.change(range, from: .host, to: .private)
        #expect(backend.hostError(at: Guests.address(10))?.code == .accessDenied)
        #expect(try backend.guestWrite([1], to: Guests.address(10)) == .written)
    }

    @Test(arguments: ModeUnderTest.all, [Ownership.shared, .private, .host])
    func undoRestoresOwnershipAndContents(tested: ModeUnderTest, before: Ownership) throws {
        let backend = try tested.backend()
        let range = try Guests.range(20, 4)
        let page = Guests.address(21)
        let contents: [UInt8] = [11, 12]
        if before != .shared { try backend.change(range, from: .shared, to: before) }
        if before == .host {
            try backend.hostWrite(contents, to: page)
        } else {
            _ = try backend.guestWrite(contents, to: page)
        }
        let runs = backend.slotRuns.map(\.range)
        for after in [Ownership.shared, .private, .host] where after != before {
            let committed = try backend.commitOnly(range, from: before, to: after)
            // What is written in between goes to the new place; where that is the old one too, it stays.
            if after == .private, tested.mode == .dual || tested.mode == .attributes {
                _ = try backend.guestWrite([99], to: page)
            }
            try backend.undo(committed)
            #expect(backend.slotRuns.map(\.range) == runs)
            let fromHost = try? backend.hostRead(2, from: page)
            let fromGuest = try backend.guestRead(2, from: page)
            #expect(fromHost == (before == .private ? nil : contents))
            #expect(fromGuest == (before == .host ? .fault(page) : .bytes(contents)))
        }
    }

    @Test(arguments: ModeUnderTest.all) func discardKeepsOwnership(tested: ModeUnderTest) throws {
        let backend = try tested.backend()
        try backend.change(Guests.range(2, 2), from: .shared, to: .private)
        for page in UInt64(0)..<6 { _ = try backend.guestWrite([1], to: Guests.address(page)) }
        try backend.discardContents(of: Guests.range(1, 4))
        let expected: [UInt8] = [1, 0, 0, 0, 0, 1]
        for page in UInt64(0)..<6 {
            #expect(try backend.guestRead(1, from: Guests.address(page)) == .bytes([expected[Int(page)]]))
        }
        #expect(backend.hostError(at: Guests.address(2))?.code == .accessDenied)
        #expect(backend.hostError(at: Guests.address(1)) == nil)
    }

    /// Populating changes neither bytes nor ownership, in any state of the pages.
    @Test(arguments: ModeUnderTest.all) func populateKeepsEverything(tested: ModeUnderTest) throws {
        let backend = try tested.backend()
        try backend.change(Guests.range(2, 2), from: .shared, to: .private)
        try backend.change(Guests.range(5, 1), from: .shared, to: .host)
        for page in UInt64(0)..<5 { _ = try backend.guestWrite([UInt8(page) + 1], to: Guests.address(page)) }
        let populator = try #require(backend.populator)
        try populator.populate(Guests.range(0, 512))
        for page in UInt64(0)..<5 {
            #expect(try backend.guestRead(1, from: Guests.address(page)) == .bytes([UInt8(page) + 1]))
        }
        #expect(backend.hostError(at: Guests.address(2))?.code == .accessDenied)
        #expect(try backend.guestRead(1, from: Guests.address(5)) == .fault(Guests.address(5)))
        #expect(throws: BackendError.self) { try populator.populate(Guests.range(511, 2)) }
    }

    /// A conversion that is no multiple of the guest's granularity is refused, by the back end too.
    @Test(arguments: ModeUnderTest.all) func theChunkIsTheGranularity(tested: ModeUnderTest) throws {
        let layout = try GuestMemoryLayout(regions: [try Guests.range(0, 1024)], granularity: .large)
        let backend = try KVMBackend(
            GuestConfiguration(layout: layout),
            mode: tested.mode,
            kernel: tested.makeKernel(),
            slotLimit: nil
        )
        #expect(backend.capabilities.granularity == .large)
        for (first, count) in [(UInt64(0), UInt64(1)), (1, 512), (511, 1), (0, 513)] {
            let change = OwnershipChange(
                range: try Guests.range(first, count),
                from: .shared,
                to: .private,
                initiator: .guest
            )
            let error = #expect(throws: BackendError.self) { _ = try backend.prepare(change) }
            #expect(error?.code == .invalidArgument)
            #expect(error?.message.contains("2 MiB") == true)
        }
        try backend.change(Guests.range(512, 512), from: .shared, to: .private)
        #expect(backend.hostError(at: Guests.address(512))?.code == .accessDenied)
        #expect(backend.hostError(at: Guests.address(511)) == nil)
    }
}

import Custody
import CustodyTestSupport
import SimulationBackend
import Synchronization
import Testing

@Suite struct SimulationBackendTests {
    private struct NoHandler: GuestRequestHandler {
        func handle(_ request: GuestRequest) -> GuestReply { .refused }
    }

    private func simulation(_ contents: ContentsEffect = .zeroed) throws -> SimulationBackend {
        let regions = try [PageRange(pages: 0..<16), PageRange(pages: 32..<48)]
        return SimulationBackend(
            guest: GuestConfiguration(layout: try GuestMemoryLayout(regions: regions), processors: 2),
            options: SimulationOptions(seed: 5, contents: contents)
        )
    }

    private func read(_ backend: SimulationBackend, _ address: UInt64, _ count: Int = 3) throws(BackendError) -> [UInt8]
    {
        var bytes = [UInt8](repeating: 0xee, count: count)
        var span = bytes.mutableSpan
        try backend.read(&span, from: GuestPhysicalAddress(address))
        return bytes
    }

    private func commit(
        _ backend: SimulationBackend,
        _ pages: Range<UInt64>,
        _ from: Ownership,
        _ to: Ownership
    ) throws -> CommittedChange {
        let change = OwnershipChange(range: try PageRange(pages: pages), from: from, to: to, initiator: .host)
        switch try backend.commit(backend.prepare(change)) {
        case .completed(let committed): return committed
        default: throw BackendError(.system, "not completed")
        }
    }

    private func code(_ body: () throws -> Void) -> BackendError.Code? {
        do { try body() } catch { return (error as? BackendError)?.code }
        return nil
    }

    @Test func bytesAcrossPagesAndSides() throws {
        let backend = try simulation()
        let bytes: [UInt8] = [1, 2, 3]
        try backend.write(bytes.span, to: GuestPhysicalAddress(4095))
        #expect(try read(backend, 4095) == bytes)
        let load = GuestOperation.read(count: 3, from: GuestPhysicalAddress(4095))
        #expect(try backend.perform(load, on: 1, answeringTo: NoHandler()) == .bytes(bytes))
        _ = try backend.perform(.write([9], to: GuestPhysicalAddress(4096)), on: 0, answeringTo: NoHandler())
        #expect(try read(backend, 4095) == [1, 9, 3])
        #expect(try read(backend, 40 * 4096) == [0, 0, 0], "what nobody wrote reads zero")
    }

    @Test func eachSideIsStoppedAtItsFirstForbiddenPage() throws {
        let backend = try simulation()
        _ = backend.finish(try commit(backend, 4..<6, .shared, .private))
        _ = backend.finish(try commit(backend, 8..<9, .shared, .host))
        do throws(BackendError) {
            _ = try read(backend, 3 * 4096, 3 * 4096)
            Issue.record("reached")
        } catch {
            #expect(error.code == .accessDenied)
            #expect(error.fault?.address == GuestPhysicalAddress(4 * 4096))
            #expect(error.fault?.enforcement == .process)
        }
        let bytes = [UInt8](repeating: 7, count: 2 * 4096)
        #expect(code { try backend.write(bytes.span, to: GuestPhysicalAddress(5 * 4096)) } == .accessDenied)
        #expect(try read(backend, 6 * 4096) == [0, 0, 0], "nothing of it is written")
        let store = GuestOperation.write(bytes, to: GuestPhysicalAddress(7 * 4096 + 5))
        #expect(try backend.perform(store, on: 0, answeringTo: NoHandler()) == .fault(GuestPhysicalAddress(8 * 4096)))
        let within = GuestOperation.read(count: 1, from: GuestPhysicalAddress(8 * 4096 + 17))
        #expect(
            try backend.perform(within, on: 0, answeringTo: NoHandler()) == .fault(GuestPhysicalAddress(8 * 4096 + 17))
        )
    }

    @Test(arguments: [0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_fffe, 65535, 81920, 196_608] as [UInt64])
    func holesAndNonsenseAreRefused(address: UInt64) throws {
        let backend = try simulation()
        #expect(code { _ = try read(backend, address) } == .invalidArgument)
        let load = GuestOperation.read(count: 3, from: GuestPhysicalAddress(address))
        // The guest's own access is a fault, at its first byte that there is no memory for.
        let stop = GuestPhysicalAddress(address == 65535 ? 65536 : address)
        #expect(try backend.perform(load, on: 0, answeringTo: NoHandler()) == .fault(stop))
        #expect(code { _ = try backend.perform(load, on: 2, answeringTo: NoHandler()) } == .invalidArgument)
        #expect(code { _ = try backend.perform(load, on: -1, answeringTo: NoHandler()) } == .invalidArgument)
    }

    @Test(arguments: [ContentsEffect.zeroed, .preserved])
    func conversionsDoToTheBytesWhatTheySay(contents: ContentsEffect) throws {
        let backend = try simulation(contents)
        let bytes: [UInt8] = [1, 2, 3]
        try backend.write(bytes.span, to: GuestPhysicalAddress(0))
        try backend.write(bytes.span, to: GuestPhysicalAddress(4096))
        #expect(backend.finish(try commit(backend, 0..<1, .shared, .private)) == contents)
        #expect(backend.finish(try commit(backend, 0..<1, .private, .shared)) == contents)
        #expect(try read(backend, 0) == (contents == .zeroed ? [0, 0, 0] : bytes))
        #expect(try read(backend, 4096) == bytes, "its neighbour keeps them")
    }

    @Test(arguments: [ContentsEffect.zeroed, .preserved])
    func undoingRestoresOwnershipAndBytes(contents: ContentsEffect) throws {
        let backend = try simulation(contents)
        let bytes: [UInt8] = [1, 2, 3]
        try backend.write(bytes.span, to: GuestPhysicalAddress(0))
        let committed = try commit(backend, 0..<2, .shared, .private)
        if contents == .zeroed {
            _ = try backend.perform(.write([8, 8], to: GuestPhysicalAddress(0)), on: 0, answeringTo: NoHandler())
        }
        if contents == .zeroed {
            _ = try backend.perform(.write([7], to: GuestPhysicalAddress(4096)), on: 0, answeringTo: NoHandler())
        }
        try backend.undo(committed)
        #expect(try read(backend, 0) == bytes)
        #expect(try read(backend, 4096) == [0, 0, 0], "what the guest wrote meanwhile is gone")
    }

    @Test func discardingEmptiesAndChangesNoOwnership() throws {
        let backend = try simulation()
        let bytes: [UInt8] = [1, 2, 3]
        _ = backend.finish(try commit(backend, 1..<2, .shared, .private))
        try backend.write(bytes.span, to: GuestPhysicalAddress(0))
        _ = try backend.perform(.write(bytes, to: GuestPhysicalAddress(4096)), on: 0, answeringTo: NoHandler())
        try backend.discardContents(of: PageRange(pages: 0..<2))
        #expect(try read(backend, 0) == [0, 0, 0])
        #expect(code { _ = try read(backend, 4096) } == .accessDenied, "still private")
        let load = GuestOperation.read(count: 3, from: GuestPhysicalAddress(4096))
        #expect(try backend.perform(load, on: 0, answeringTo: NoHandler()) == .bytes([0, 0, 0]))
        #expect(code { try backend.discardContents(of: PageRange(pages: 15..<17)) } == .invalidArgument)
    }

    @Test func aChangeMustFitWhatIs() throws {
        let backend = try simulation()
        let range = try PageRange(pages: 0..<4)
        let wrong = OwnershipChange(range: range, from: .private, to: .shared, initiator: .host)
        #expect(code { _ = try backend.prepare(wrong) } == .invalidArgument)
        backend.shutDown()
        backend.shutDown()
        let right = OwnershipChange(range: range, from: .shared, to: .private, initiator: .host)
        #expect(code { _ = try backend.prepare(right) } == .lost)
    }

    @Test func aChangeThatIsDroppedIsNotMade() throws {
        let backend = try simulation()
        let change = OwnershipChange(range: try PageRange(pages: 0..<4), from: .shared, to: .private, initiator: .host)
        do { _ = try backend.prepare(change) }
        #expect(try read(backend, 0) == [0, 0, 0])
        let other = try simulation()
        #expect(code { _ = try other.commit(backend.prepare(change)) } == .invalidArgument)
        #expect(try read(backend, 0) == [0, 0, 0] && read(other, 0) == [0, 0, 0])
    }

    /// The check and the copy are one step: a page that becomes private between them would show its secret.
    @Test(.timeLimit(.minutes(60))) func aSecretIsNotSeenBetweenTheCheckAndTheCopy() async throws {
        let backend = try simulation()
        let secret = [UInt8](repeating: 0x5a, count: 4096)
        let isOver = Atomic<Bool>(false)
        async let leaks = Task.detached { [self] in
            var leaks = 0
            while !isOver.load(ordering: .relaxed) {
                if let bytes = try? read(backend, 0, 4096), bytes.contains(0x5a) { leaks += 1 }
            }
            return leaks
        }.value
        for _ in 0..<20_000 {
            _ = backend.finish(try commit(backend, 0..<1, .shared, .private))
            _ = try backend.perform(.write(secret, to: GuestPhysicalAddress(0)), on: 0, answeringTo: NoHandler())
            _ = backend.finish(try commit(backend, 0..<1, .private, .shared))
        }
        isOver.store(true, ordering: .relaxed)
        #expect(await leaks == 0)
    }

    @Test func oneSeedOneTime() throws {
        func times() throws -> [UInt64] {
            let backend = try simulation()
            return try (0..<8 as Range<UInt64>).map { page in
                _ = backend.finish(try commit(backend, page..<(page + 1), .shared, .private))
                return backend.clock.now.rawValue
            }
        }
        #expect(try times() == times())
        #expect(try Set(times()).count == 8, "each takes time")
    }
}

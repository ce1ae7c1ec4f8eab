import Custody
import CustodyPolicy
import CustodyScenario
import CustodyTrace
import SimulationBackend
import Testing

/// Two back ends side by side: one that does not do what it says is found, one that does is not.
@Suite struct LockstepTests {
    private func lockstep(_ lie: LyingBackend.Lie?) throws -> LockstepBackend {
        try LockstepBackend(
            LyingBackend(try TraceFixture.backend(), lie),
            beside: try TraceFixture.backend(SimulationOptions(latency: .zero))
        )
    }

    /// Bytes written and read by both sides, conversions there and back, one that is taken back, contents thrown away.
    private func play(_ backend: LockstepBackend) throws {
        let controller = MemoryController(backend: backend, policy: AllowAll())
        let holder = Holder(device: "host")
        let range = try TraceFixture.range(0, 2)
        func convert(_ target: Ownership) {
            _ = try? controller.convert(ConversionRequest(range, to: target, by: .guest(processor: 0)))
        }
        func read() {
            var bytes: [UInt8] = [0, 0, 0]
            var span = bytes.mutableSpan
            try? controller.read(&span, from: range.address, for: holder)
        }
        let guest = try #require(backend.guestAgent)
        try controller.write([1, 2, 3].span, to: range.address, for: holder)
        read()
        convert(.private)
        _ = try? guest.perform(.write([4, 5], to: range.address), on: 0, answeringTo: controller)
        _ = try? guest.perform(.read(count: 2, from: range.address), on: 0, answeringTo: controller)
        convert(.shared)
        read()
        try? controller.write([6].span, to: range.address, for: holder)
        try? controller.discard(range)
        read()
        convert(.private)
        try controller.add(Unwilling(range))
        convert(.shared)
    }

    @Test func whoDoesAsItSaysIsInStep() throws {
        let pair = try lockstep(nil)
        try play(pair)
        #expect(pair.difference?.description == nil)
    }

    @Test(arguments: LyingBackend.Lie.allCases)
    func whoDoesNotIsFound(lie: LyingBackend.Lie) throws {
        let pair = try lockstep(lie)
        try? play(pair)
        let difference = try #require(pair.difference, "\(lie)")
        #expect(difference.real != difference.twin && !difference.real.pages.isEmpty)
        let call =
            switch lie {
            case .doesNotCommit: "commit 0x200000-0x201fff (8 KiB) shared → private"
            case .keepsBytes: "finish 0x200000-0x201fff (8 KiB) private → shared"
            case .losesWrites, .stopsTheOwner: "read 3 bytes at 0x200000"
            case .doesNotDiscard: "discard 0x200000-0x201fff (8 KiB)"
            case .doesNotUndo: "undo 0x200000-0x201fff (8 KiB) private → shared"
            case .loosesTheGuestsWrites: "the guest reads 2 bytes at 0x200000"
            }
        #expect(difference.call == call)
        #expect(difference.description.contains("beside it: "))
        // Nothing goes on after it.
        #expect(throws: BackendError.self) { try pair.discardContents(of: try TraceFixture.range(0, 1)) }
    }

    @Test func guestsThatAreNotTheSameAreNoPair() throws {
        let other = SimulationBackend(
            guest: GuestConfiguration(
                layout: try GuestMemoryLayout(regions: [try PageRange(start: PageNumber(0), count: 1)])
            )
        )
        #expect(throws: BackendError.self) { try LockstepBackend(TraceFixture.backend(), beside: other) }
    }
}

/// A listener that refuses to gain pages, when the back end has given them.
private final class Unwilling: OwnershipListener {
    let name = "unwilling"
    private let range: PageRange

    init(_ range: PageRange) { self.range = range }

    func prepare(_ change: HostAccessChange) throws(ListenerVeto) {
        if change.isGranted, change.range.overlaps(range) { throw ListenerVeto("no") }
    }

    func commit(_ change: HostAccessChange) {}
    func rollBack(_ change: HostAccessChange) {}
}

import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// Requests that reach beyond RAM.
@Suite struct HoleTests {
    private func fixture(_ holes: HoleRule) throws -> (controller: MemoryController, backend: FakeBackend) {
        // RAM at pages 0 to 15, 32 to 47, and one far away.
        let far = 1 << 34 as UInt64
        let layout = try GuestMemoryLayout(
            regions: [PageRange(pages: 0..<16), PageRange(pages: 32..<48), PageRange(pages: far..<(far + 4))]
        )
        let backend = FakeBackend(layout, executor: VirtualExecutor())
        let controller = MemoryController(
            backend: backend,
            policy: AllowAll(),
            limits: ControllerLimits(holes: holes)
        )
        return (controller, backend)
    }

    private func request(
        _ pages: Range<UInt64>,
        _ target: Ownership = .private,
        _ extent: ConversionRequest.Extent = .all
    ) throws -> ConversionRequest {
        ConversionRequest(try PageRange(pages: pages), to: target, by: .guest(processor: 0), extent: extent)
    }

    @Test func reject() throws {
        let (controller, backend) = try fixture(.reject)
        for pages in [8..<20, 20..<24, 0..<48, 16..<17] as [Range<UInt64>] {
            #expect(throws: ConversionError.self) { try controller.convert(request(pages)) }
        }
        #expect(backend.calls.isEmpty)
        #expect(try controller.convert(request(0..<16)).isCompleted)
    }

    @Test(arguments: [ConversionRequest.Extent.all, .prefix(maximumRuns: 100)])
    func ignore(extent: ConversionRequest.Extent) throws {
        let (controller, backend) = try fixture(.ignore)
        let outcome = try controller.convert(request(8..<40, .private, extent))
        #expect(outcome.isCompleted && outcome.changedPages == 16)
        let isPrivate = try [8..<16, 32..<40].map { try backend.ownership.isUniform(PageRange(pages: $0), .private) }
        #expect(isPrivate == [true, true])
        #expect(try backend.ownership.isUniform(PageRange(pages: 16..<32), .shared), "no page of a hole was changed")
        #expect(controller.tally.private == 16 && controller.tally.shared == 20)
        backend.forgetCalls()
        #expect(try controller.convert(request(8..<40, .private, extent)).changedPages == 0)
        #expect(try controller.convert(request(20..<30, .private, extent)).isCompleted, "there is nothing in it")
        #expect(backend.calls.isEmpty)
    }

    @Test func limit() throws {
        let (controller, backend) = try fixture(.limit(pages: 16))
        #expect(try controller.convert(request(8..<40)).isCompleted)
        backend.forgetCalls()
        for pages in [0..<49, 16..<33, 15..<32] as [Range<UInt64>] {
            let hole = pages == 0..<49
            if hole {
                #expect(throws: ConversionError.self) { try controller.convert(request(pages)) }
            } else {
                #expect(try controller.convert(request(pages)).isCompleted)
            }
        }
    }

    /// 70 TiB, most of it nothing: as much work as there is RAM in it, counted in calls and not in time.
    @Test func aHugeHoleIsPassedOverAtOnce() throws {
        let (controller, backend) = try fixture(.ignore)
        let request = GuestRequest(processor: 0, address: 0, byteCount: 70 << 40, target: .private)
        #expect(controller.handle(request) == .done)
        #expect(backend.calls.count == 9, "prepare, commit and finish for each of three regions")
        #expect(controller.tally.private == 36)
        let far = try fixture(.reject)
        #expect(far.controller.handle(request) == .refused)
        #expect(far.backend.calls.isEmpty)
    }

    /// A hand-over of pages on both sides of a hole is one, and can be taken back as one.
    @Test func aHandOverAcrossAHole() throws {
        let (controller, backend) = try fixture(.ignore)
        let lease = try controller.lease(PageRange(pages: 34..<35), .pin, for: Holder(device: "nic"))
        let ticket = try #require(try controller.convert(request(8..<40)).ticket)
        #expect(controller.tally.inTransit == 16 && backend.calls.isEmpty)
        #expect(try controller.convert(request(8..<40)).ticket?.id == ticket.id, "joined")
        #expect(try controller.convert(request(8..<40, .shared)).isCompleted)
        #expect(ticket.result?.word == "cancelled")
        #expect(controller.tally.inTransit == 0 && controller.tally.shared == 36)
        lease.release()
    }
}

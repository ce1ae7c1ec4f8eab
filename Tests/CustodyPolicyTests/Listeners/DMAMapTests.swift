import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// The ready-made listener: one call a run, a failure is a veto.
@Suite struct DMAMapTests {
    private final class Mapper: DMAMapper {
        struct State {
            var mapped: PageRunMap<Bool>
            var failures: [BackendError] = []
            var violations = 0
        }
        let state: Locked<State>

        init(_ bounds: PageRange) { state = Locked(State(mapped: PageRunMap(bounds: bounds, state: false))) }

        func fail(_ error: BackendError) { state.withLock { $0.failures.append(error) } }

        func map(_ range: PageRange) throws(BackendError) {
            try state.withLock { state throws(BackendError) in
                if let failure = state.failures.popLast() { throw failure }
                if !state.mapped.isUniform(range, false) { state.violations += 1 }
                state.mapped.set(range, to: true)
            }
        }

        func unmap(_ range: PageRange) {
            state.withLock { state in
                if !state.mapped.isUniform(range, true) { state.violations += 1 }
                state.mapped.set(range, to: false)
            }
        }
    }

    /// 16 384 pages shared one by one and taken back together: one unmap call, not one a page.
    @Test func coalesces() throws {
        let pages = 16384 as UInt64
        let fixture = try ControllerFixture(pages: 0..<pages, initially: .private)
        let mapper = Mapper(fixture.controller.layout.bounds)
        let map = DMAMap(mapper)
        try fixture.controller.add(map)
        #expect(map.statistics.mapCalls == 0 && map.statistics.mappedPages == 0)
        try fixture.convert(0..<pages, to: .shared)
        #expect(map.statistics.mapCalls == 1 && map.statistics.mappedPages == pages)
        try fixture.convert(100..<200, to: .private)
        #expect(map.statistics.unmapCalls == 1 && map.statistics.mappedPages == pages - 100)
        try fixture.convert(50..<250, to: .shared)
        #expect(map.statistics.mapCalls == 2, "only what it does not reach yet")
        for page in stride(from: 0, to: 512, by: 2) as StrideTo<UInt64> {
            try fixture.convert(page..<(page + 1), to: .host)
        }
        let before = map.statistics
        try fixture.convert(0..<512, to: .private)
        #expect(map.statistics.unmapCalls == before.unmapCalls + 1, "512 runs of ownership, one of reach")
        #expect(mapper.state.withLock { $0.violations } == 0)
        #expect(mapper.state.withLock { $0.mapped } == fixture.hostMap)
    }

    @Test func aMappingThatFailsIsAVeto() throws {
        let fixture = try ControllerFixture(initially: .private)
        let mapper = Mapper(fixture.controller.layout.bounds)
        let map = DMAMap(mapper, name: "vfio")
        try fixture.controller.add(map)
        mapper.fail(BackendError(.system, "no IOVA left"))
        do {
            try fixture.convert(0..<8, to: .shared)
            Issue.record("it was not vetoed")
        } catch let error as ConversionError {
            #expect(error.code == .vetoed)
            #expect(error.message == "vfio refuses: no IOVA left")
        }
        #expect(fixture.map.allSatisfy { $0 == "P" } && fixture.isQuiet)
        mapper.fail(BackendError(.resourcesExhausted, "locked memory"))
        #expect(try fixture.refusal(0..<8, to: .shared) == .busy, "it may work a little later")
        #expect(try fixture.refusal(0..<8, to: .shared) == nil)
        #expect(map.statistics.mappedPages == 8)
    }

    /// What cannot be mapped again when a change is taken back is told, not hidden.
    @Test func aLostMappingIsCounted() throws {
        let fixture = try ControllerFixture()
        let mapper = Mapper(fixture.controller.layout.bounds)
        let map = DMAMap(mapper)
        try fixture.controller.add(map)
        fixture.backend.plan { $0.commit[1] = .fail(BackendError(.system, "EIO")) }
        mapper.fail(BackendError(.system, "EIO"))
        #expect(try fixture.refusal(8..<16, to: .private) == .backend)
        #expect(map.statistics.lostPages == 8 && map.statistics.mappedPages == 56)
    }
}

import Custody
import Testing

@testable import KVMBackend

@Suite(.needsKVM, .timeLimit(.minutes(60))) struct QuiesceTests {
    /// A processor that never leaves by itself, at work in the very slot that is replaced, never finds it gone.
    @Test(arguments: [KVMMode.dual, .revoked]) func noStrayExitsWhileSlotsChange(mode: KVMMode) throws {
        let backend = try Guests.backend(mode, processors: 2)
        let end = Monitor(Optional<Result<GuestCommandResult, BackendError>>.none)
        let counter = Guests.address(100, 64)
        try Thread.start {
            let forever = GuestCommand.hammer(passes: .max, address: counter.rawValue, count: 8)
            do throws(BackendError) {
                let result = try backend.execute(forever, on: 1, answeringTo: Refusing())
                end.update { $0 = .success(result) }
            } catch { end.update { $0 = .failure(error) } }
        }
        func count() throws -> UInt64 {
            try backend.hostRead(8, from: counter).reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        while try count() == 0 { _ = end.wait(for: .milliseconds(1)) { $0 } }
        let neighbour = try Guests.range(101, 3)
        let other = mode == .dual ? Ownership.private : .host
        let clock = ContinuousClock()
        let before = try count()
        let duration = try clock.measure {
            for _ in 0..<150 {
                try backend.change(neighbour, from: .shared, to: other)
                try backend.change(neighbour, from: other, to: .shared)
            }
        }
        print("300 changes of a running guest's slot, \(mode): \(duration / 300) each")
        #expect(try count() > before)
        #expect(end.update { $0 == nil })
        backend.shutDown()
        let result = try #require(end.wait(for: .seconds(10)) { $0 })
        // Only the shut-down ended it: no fault, no exit of any other kind.
        let error = #expect(throws: BackendError.self) { try result.get() }
        #expect(error?.message == "the guest has been shut down")
    }

    @Test func changesFromSeveralThreadsAtOnce() throws {
        let backend = try Guests.backend(.dual, processors: 2)
        let results = Monitor<[(any Error)?]>([])
        for thread in UInt64(0)..<4 {
            try Thread.start {
                do {
                    for _ in 0..<50 {
                        // Neighbours on purpose: their slots merge with each other's.
                        let range = try Guests.range(thread * 3, 3)
                        try backend.change(range, from: .shared, to: .private)
                        try backend.change(range, from: .private, to: .shared)
                    }
                    results.update { $0.append(nil) }
                } catch { results.update { $0.append(error) } }
            }
        }
        let all = try #require(results.wait(for: .seconds(60)) { $0.count == 4 ? $0 : nil })
        #expect(all.allSatisfy { $0 == nil })
        #expect(backend.slotRuns.count == 1)
    }

    @Test func shutDownEndsARunningGuest() throws {
        let backend = try Guests.backend(.dual)
        let started = Monitor(false)
        let error = Monitor(Optional<BackendError>.none)
        try Thread.start {
            started.update { $0 = true }
            do throws(BackendError) {
                let forever = GuestCommand.hammer(passes: .max, address: Guests.base, count: 4096)
                _ = try backend.execute(forever, on: 0, answeringTo: Refusing())
            } catch let failure { error.update { $0 = failure } }
        }
        _ = started.wait { $0 ? () : nil }
        _ = started.wait(for: .milliseconds(50)) { _ in Optional<Void>.none }
        backend.shutDown()
        let failure = try #require(error.wait(for: .seconds(10)) { $0 })
        #expect(failure.code == .guestFailed)
    }

    /// A processor that does not come out: a change is refused in time, by its number; a shut-down waits for it, however long
    /// that takes, and says so once.
    @Test func aShutDownWaitsForItsPromise() throws {
        let gate = QuiesceGate(.test, limit: .milliseconds(20))
        #expect(gate.enter(3, runAddress: 0, completingOnly: false) == .inside)
        let error = #expect(throws: BackendError.self) { try gate.withProcessorsOut {} }
        #expect(error?.code == .guestFailed)
        #expect(error?.message.contains("processor 3 ") == true)
        let told = Monitor<[BackendError]>([])
        let isShut = Monitor(false)
        try Thread.start {
            gate.shut { error in told.update { $0.append(error) } }
            isShut.update { $0 = true }
        }
        let errors = try #require(told.wait(for: .seconds(60)) { $0.isEmpty ? nil : $0 })
        #expect(errors.first?.message.contains("processor 3 ") == true)
        // It has given up nothing: nobody gets in, and it is not over.
        #expect(gate.enter(1, runAddress: 0, completingOnly: false) == .shut)
        #expect(isShut.wait(for: .milliseconds(60)) { $0 ? () : nil } == nil)
        gate.leave(3)
        #expect(isShut.wait(for: .seconds(60)) { $0 ? () : nil } != nil)
        #expect(told.update { $0.count } == 1)
    }
}

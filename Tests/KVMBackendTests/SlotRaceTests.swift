import CKVM
import Custody
import Synchronization
import SystemPackage
import Testing

@testable import KVMBackend

/// Memory beside RAM comes while RAM changes hands: nobody is given a slot that somebody else is just making.
@Suite(.timeLimit(.minutes(60))) struct SlotRaceTests {
    /// In each of the moments at which a change adds a slot.
    @Test(arguments: TestKernel.both) func memoryThatComesInTheMidstOfAChange(kernel: TestKernel) throws {
        let meddler = MeddlingKernel(try kernel.make())
        let backend = try Guests.backend(.dual, kernel: meddler)
        var place: UInt64 = 600
        for round in UInt64(0)..<4 {
            for (source, target) in [(Ownership.shared, Ownership.private), (.private, .host), (.host, .shared)] {
                for moment in 0..<3 {
                    let address = Guests.address(place)
                    place += 1
                    let failure = Mutex<(any Error)?>(nil)
                    meddler.before(moment) {
                        do { try backend.addReadOnlyMemory([1], at: address) } catch { failure.withLock { $0 = error } }
                    }
                    let range = try Guests.range(10 + round * 7, 3)
                    try backend.change(range, from: source, to: target)
                    if moment < 2 { try backend.change(range, from: target, to: source) }
                    meddler.rest()
                    #expect(failure.withLock { $0 == nil }, "\(String(describing: failure.withLock { $0 }))")
                }
            }
        }
        #expect(backend.engine.lost == nil)
        #expect(backend.slotRuns.count == 1)
        #expect(meddler.doubles.isEmpty)
    }

    /// From several threads, with places that overlap: one of two gets a place, and the other is told.
    @Test(arguments: TestKernel.both) func memoryAndChangesAtOnce(kernel: TestKernel) throws {
        let meddler = MeddlingKernel(try kernel.make())
        let backend = try Guests.backend(.dual, kernel: meddler)
        let results = Monitor<[(added: Int, refused: Int, others: [String])]>([])
        let count: UInt64 = 150
        for thread in UInt64(0)..<4 {
            try Thread.start {
                var result = (added: 0, refused: 0, others: [String]())
                for round in 0..<count {
                    do {
                        if thread < 2 {
                            // Two threads want the same places.
                            try backend.addReadOnlyMemory([UInt8(thread)], at: Guests.address(600 + round))
                            result.added += 1
                        } else {
                            let range = try Guests.range(thread * 4, 3)
                            try backend.change(range, from: .shared, to: .private)
                            try backend.change(range, from: .private, to: .shared)
                        }
                    } catch let error as BackendError where error.code == .invalidArgument {
                        result.refused += 1
                    } catch { result.others.append("\(error)") }
                }
                let all = result
                results.update { $0.append(all) }
            }
        }
        let all = try #require(results.wait(for: .seconds(300)) { $0.count == 4 ? $0 : nil })
        #expect(all.flatMap(\.others) == [])
        #expect(all.reduce(0) { $0 + $1.added } == Int(count))
        #expect(all.reduce(0) { $0 + $1.refused } == Int(count))
        #expect(backend.engine.lost == nil)
        #expect(backend.slotRuns.count == 1)
        #expect(meddler.doubles.isEmpty)
    }
}

/// A kernel under which something else happens just before a slot is added, and that notes which slots there are.
final class MeddlingKernel: Kernel {
    private struct State {
        var countdown: Int?
        var body: (@Sendable () -> Void)?
        var slots: Set<UInt32> = []
        var doubles: [UInt32] = []
    }

    private let base: any Kernel
    private let state = Mutex(State())

    init(_ base: any Kernel) { self.base = base }

    /// Has `body` run before the addition of the slot that comes after so many others.
    func before(_ count: Int, _ body: @escaping @Sendable () -> Void) {
        state.withLock { state in
            state.countdown = count
            state.body = body
        }
    }

    /// Has nothing happen any more.
    func rest() { state.withLock { $0.body = nil } }

    /// The numbers that were to be added while there was a slot of theirs.
    var doubles: [UInt32] { state.withLock { $0.doubles } }

    func perform(_ call: SystemCall) throws(Errno) -> Int {
        guard let (slot, size) = MeddlingKernel.slot(of: call) else { return try base.perform(call) }
        let body = state.withLock { state -> (@Sendable () -> Void)? in
            guard size > 0, let body = state.body, let countdown = state.countdown else { return nil }
            state.countdown = countdown - 1
            guard countdown == 0 else { return nil }
            state.body = nil
            return body
        }
        body?()
        state.withLock { state in
            guard size > 0 else { return }
            if !state.slots.insert(slot).inserted { state.doubles.append(slot) }
        }
        defer { if size == 0 { state.withLock { _ = $0.slots.remove(slot) } } }
        return try base.perform(call)
    }

    private static func slot(of call: SystemCall) -> (UInt32, UInt64)? {
        switch call {
        case .ioctl(_, .setUserMemoryRegion, let argument):
            unsafe UnsafePointer<ckvm_userspace_memory_region>(bitPattern: argument).map {
                unsafe ($0.pointee.slot, $0.pointee.memory_size)
            }
        case .ioctl(_, .setUserMemoryRegion2, let argument):
            unsafe UnsafePointer<ckvm_userspace_memory_region2>(bitPattern: argument).map {
                unsafe ($0.pointee.slot, $0.pointee.memory_size)
            }
        default: nil
        }
    }
}

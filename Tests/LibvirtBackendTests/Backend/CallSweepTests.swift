#if Libvirt
import Custody
import CustodyPolicy
import Foundation
import Glibc
import Testing

@testable import LibvirtBackend

/// Every call that the back end makes, into libvirt and the kernel, fails once: what the controller shows afterwards is what
/// there is, and a second attempt succeeds.
@Suite(.serialized, .timeLimit(.minutes(60))) struct CallSweepTests {
    /// One thing that the back end does, and how it is taken back.
    private struct Operation: Sendable {
        let name: String
        let perform: @Sendable (LiveGuest) throws -> Void
        let takeBack: @Sendable (LiveGuest) throws -> Void
        /// The module that it is about, and who has that when it is done.
        let result: (module: Int, ownership: Ownership)
    }

    /// A call and how it failed.
    private struct Failure: Hashable, CustomStringConvertible {
        let call: Call
        let kind: FailingGate.Kind
        var description: String { "\(call), \(kind)" }
    }

    private static let operations = [
        Operation(
            name: "a module is given",
            perform: { _ = try $0.request($0.module(), to: .shared) },
            takeBack: { try $0.giveBack() },
            result: (0, .shared)
        ),
        Operation(
            name: "a module is given as private",
            perform: { _ = try $0.request($0.module(), to: .private) },
            takeBack: { try $0.giveBack() },
            result: (0, .private)
        ),
        Operation(
            name: "pages become private",
            perform: { _ = try $0.request($0.module(1), to: .private) },
            takeBack: { try $0.convert($0.module(1), to: .shared) },
            result: (1, .private)
        ),
        Operation(
            name: "pages are waited for",
            perform: { live in
                // Where that was done after all, nobody can have them any more.
                guard live.ownership[1] != .private else { return }
                try live.backend.map(live.module(1), as: "holder")
                defer { try? live.backend.release(as: "holder") }
                guard case .pending(let ticket, _) = try live.request(live.module(1), to: .private).status
                else { return }
                try live.backend.release(as: "holder")
                _ = ticket.wait(for: LiveGuest.patience)
            },
            takeBack: { try $0.convert($0.module(1), to: .shared) },
            result: (1, .private)
        ),
        Operation(
            name: "a module is had back",
            perform: { live in
                do {
                    guard case .pending(let ticket, _) = try live.request(live.module(2), to: .host).status
                    else { return }
                    _ = ticket.wait(for: LiveGuest.patience)
                } catch let error as ConversionError where error.code == .busy {
                    // The guest answers what was said to have failed, and the host is taking it this moment.
                    _ = LiveGuest.waits { live.ownership[2] == .host }
                }
            },
            takeBack: { live in
                // A question that failed may have reached the guest all the same: then the module is on its way.
                _ = LiveGuest.waits { live.ownership[2] == .host }
                try live.convert(live.module(2), to: .shared)
            },
            result: (2, .host)
        ),
        Operation(
            name: "contents are discarded",
            perform: { try $0.backend.discardContents(of: $0.module(1)) },
            takeBack: { _ in },
            result: (1, .shared)
        ),
        Operation(
            name: "memory is taken",
            perform: { try $0.backend.populate($0.module(1)) },
            takeBack: { _ in },
            result: (1, .shared)
        ),
    ]

    /// Every call, every way to fail, every time that it is made: three times at most, which is what waits make alike.
    private static func points(_ counts: [Call: Int]) -> [(Call, FailingGate.Kind, occurrence: Int)] {
        counts.sorted { "\($0.key)" < "\($1.key)" }.flatMap { call, count in
            FailingGate.Kind.allCases.flatMap { kind in (1...min(count, 3)).map { (call, kind, $0) } }
        }
    }

    @Test func whatIsShownIsWhatThereIs() throws {
        let gate = FailingGate()
        let live = try LiveGuest("sweep", modules: [1, 1, 1], gate: gate)
        // The look at what happened while it was made is none of what is counted.
        live.backend.executor.drain()
        try live.answerRemovals(.accept)
        try live.convert(live.module(1), to: .shared)
        try live.convert(live.module(2), to: .shared)
        var count = 0
        for operation in CallSweepTests.operations {
            live.lookAtEverybody()
            gate.fail(0)
            try operation.perform(live)
            try live.settle()
            let counts = Dictionary(grouping: gate.calls) { $0 }.mapValues(\.count)
            let made = gate.made
            gate.fail(0)
            try operation.takeBack(live)
            try live.settle()
            var (wanted, failed): (Set<Failure>, Set<Failure>) = ([], [])
            for (call, kind, occurrence) in CallSweepTests.points(counts) {
                // What never succeeds cannot be denied, and what is denied must not have to be given back.
                if kind == .madeAndDenied, !made.contains(call) || FailingGate.returnsSomething(call) { continue }
                let point = "\(operation.name): \(call), \(kind), \(occurrence)"
                wanted.insert(Failure(call: call, kind: kind))
                live.lookAtEverybody()
                gate.fail(occurrence, of: call, kind, code: call.isOfHost ? EIO : 38)
                try? operation.perform(live)
                try live.settle()
                if let call = gate.failed {
                    failed.insert(Failure(call: call, kind: kind))
                    count += 1
                }
                gate.fail(0)
                try live.expectTruth(point)
                // Done or not: after another attempt it is done.
                try operation.perform(live)
                try live.settle()
                try live.expectTruth(point + ", again")
                let (module, owner) = operation.result
                #expect(live.ownership[module] == owner, "\(point), again")
                try operation.takeBack(live)
                try live.settle()
            }
            // How often a wait looks is the machine's to say. Each call has failed in each way that it can.
            #expect(wanted.subtracting(failed) == [], "\(operation.name)")
            print("call sweep, \(operation.name): \(failed.count) kinds of failure")
        }
        print("call sweep, operations: \(count) injection points")
    }
}

extension LiveGuest {
    /// Has the next search for holders pass over nobody.
    fileprivate func lookAtEverybody() {
        for module in backend.modules { module.file.cleared.forget() }
    }
}

extension Call {
    /// Whether it is into the kernel.
    var isOfHost: Bool {
        switch self {
        case .host: true
        case .libvirt: false
        }
    }
}

extension LiveGuest {
    fileprivate func giveBack() throws {
        guard try convert(module(), to: .host) != nil else {
            throw BackendError(.guestFailed, "the module does not come back")
        }
    }

    /// Sleeps until nothing is under way.
    fileprivate func settle() throws {
        let isQuiet = LiveGuest.waits {
            backend.executor.drain()
            return controller.pendingTickets.isEmpty
                && backend.ledger.withLock { !$0.presence.contains(.released) && $0.waiting.isEmpty }
        }
        #expect(isQuiet, "\(ownership) \(controller.pendingTickets.map(\.id))")
    }

    /// The guest has the modules that are not the host's; private pages are closed, others are open.
    fileprivate func expectTruth(_ point: String) throws {
        // A question that was said to have failed may be answered a moment later.
        let isTrue = LiveGuest.waits {
            let plugged = try plugged()
            return ownership.indices.allSatisfy { plugged.contains($0) == (ownership[$0] != .host) }
        }
        let found = try plugged()
        #expect(isTrue, "\(point): \(ownership), and the guest has \(found)")
        #expect(!ownership.contains(nil), "\(point)")
        for (number, owner) in ownership.enumerated() {
            let module = backend.modules[number]
            if owner == .host {
                // What cannot be given back at once is given back a moment later.
                let isBack = LiveGuest.waits { try backend.backedBytes(of: module.range) == 0 }
                #expect(isBack, "\(point): the memory of module \(number) is not back")
            }
            #expect(module.isShown(module.range) == (owner != .private), "\(point): \(ownership)")
            var byte: [UInt8] = [0]
            var span = byte.mutableSpan
            var isReached = true
            do { try backend.read(&span, from: module.range.address) } catch { isReached = false }
            #expect(isReached == (owner != .private), "\(point): \(ownership)")
            do throws(BackendError) {
                try backend.map(module.range, as: "probe")
                try backend.release(as: "probe")
                #expect(owner != .private, "\(point): another process opened module \(number)")
            } catch {
                #expect(error.code == .accessDenied && owner == .private, "\(point): \(number) \(error)")
            }
        }
    }
}
#endif

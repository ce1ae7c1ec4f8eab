#if Libvirt
import Custody
import CustodyPolicy
import Foundation
import Glibc
import Testing

@testable import LibvirtBackend

/// Every call that the back end makes, into libvirt and the kernel, fails once: what the controller shows afterwards is what
/// there is, and a second attempt succeeds.
@Suite(.serialized, .timeLimit(.minutes(10))) struct CallSweepTests {
    /// One thing that the back end does, and how it is taken back.
    private struct Operation: Sendable {
        let name: String
        let perform: @Sendable (LiveGuest) throws -> Void
        let takeBack: @Sendable (LiveGuest) throws -> Void
    }

    private static let operations = [
        Operation(
            name: "a module is given",
            perform: { try $0.convert($0.module(), to: .shared) },
            takeBack: { try $0.giveBack() }
        ),
        Operation(
            name: "a module is given as private",
            perform: { try $0.convert($0.module(), to: .private) },
            takeBack: { try $0.giveBack() }
        ),
        Operation(
            name: "pages become private",
            perform: { try $0.convert($0.module(1), to: .private) },
            takeBack: { try $0.convert($0.module(1), to: .shared) }
        ),
        Operation(
            name: "pages are waited for",
            perform: { live in
                // Where that was done after all, nobody can have them any more.
                guard live.ownership[1] != .private else { return }
                try live.backend.map(live.module(1), as: "holder")
                defer { try? live.backend.release(as: "holder") }
                guard case .pending(let ticket, _) = try live.convert(live.module(1), to: .private).status
                else { return }
                try live.backend.release(as: "holder")
                _ = ticket.wait(for: .seconds(20))
            },
            takeBack: { try $0.convert($0.module(1), to: .shared) }
        ),
        Operation(
            name: "a module is had back",
            perform: { live in
                do {
                    guard case .pending(let ticket, _) = try live.convert(live.module(2), to: .host).status
                    else { return }
                    _ = ticket.wait(for: .seconds(20))
                } catch let error as ConversionError where error.code == .busy {
                    // The guest answers what was said to have failed, and the host is taking it this moment.
                    _ = LiveGuest.waits { live.ownership[2] == .host }
                }
            },
            takeBack: { live in
                // A question that failed may have reached the guest all the same: then the module is on its way.
                _ = LiveGuest.waits { live.ownership[2] == .host }
                try live.convert(live.module(2), to: .shared)
            }
        ),
        Operation(
            name: "contents are discarded",
            perform: { try $0.backend.discardContents(of: $0.module(1)) },
            takeBack: { _ in }
        ),
        Operation(
            name: "memory is taken",
            perform: { try $0.backend.populate($0.module(1)) },
            takeBack: { _ in }
        ),
    ]

    @Test func whatIsShownIsWhatThereIs() throws {
        let gate = FailingGate()
        let live = try LiveGuest("sweep", modules: [1, 1, 1], gate: gate)
        try live.answerRemovals(.accept)
        try live.convert(live.module(1), to: .shared)
        try live.convert(live.module(2), to: .shared)
        var count = 0
        for operation in CallSweepTests.operations {
            gate.fail(0)
            try operation.perform(live)
            let calls = gate.calls
            gate.fail(0)
            try live.settle()
            try operation.takeBack(live)
            try live.settle()
            var failed = 0
            for index in calls.indices {
                for kind in FailingGate.Kind.allCases {
                    // What is made and denied must not return what would have to be given back.
                    if kind == .madeAndDenied, CallSweepTests.returnsSomething(calls[index]) { continue }
                    let point = "\(operation.name), \(index + 1): \(calls[index]), \(kind)"
                    gate.fail(index + 1, kind, code: calls[index].isOfHost ? EIO : 38)
                    try? operation.perform(live)
                    if gate.failed != nil { failed += 1 }
                    gate.fail(0)
                    try live.settle()
                    try live.expectTruth(point)
                    // Done or not: after another attempt it is done.
                    try operation.perform(live)
                    try live.settle()
                    try live.expectTruth(point + ", again")
                    try operation.takeBack(live)
                    try live.settle()
                }
            }
            // How often a wait looks is the machine's to say: a call late in it may not come again.
            #expect(failed * 2 >= calls.count, "\(operation.name): \(failed) of \(calls.count)")
            print("call sweep, \(operation.name): \(failed) injection points")
            count += failed
        }
        print("call sweep, operations: \(count) injection points")
        #expect(count >= 40)
    }

    private static func returnsSomething(_ call: Call) -> Bool {
        switch call {
        case .host(.open), .host(.map), .host(.watch), .host(.sentry), .host(.neighbour): true
        case .libvirt(.open), .libvirt(.eventRegister), .libvirt(.closeCallbackRegister): true
        default: false
        }
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
        if case .pending(let ticket, _) = try convert(module(), to: .host).status {
            guard case .completed? = ticket.wait(for: .seconds(20)) else {
                throw BackendError(.guestFailed, "the module does not come back")
            }
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

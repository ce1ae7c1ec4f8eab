#if Libvirt
import Custody
import CustodyPolicy
import Foundation
import Glibc
import Synchronization
import Testing

@testable import LibvirtBackend

/// The end of a domain, with calls that fail on the way.
@Suite(.serialized, .timeLimit(.minutes(60))) struct EndSweepTests {
    /// Lets calls of some kinds fail, so many times each.
    private final class RefusingGate: CallGate {
        private let counts: Mutex<[Call: Int]>

        init(_ counts: [Call: Int]) { self.counts = Mutex(counts) }

        func refusal(of call: Call) -> Int32? {
            counts.withLock { counts in
                guard let count = counts[call], count > 0 else { return nil }
                counts[call] = count - 1
                return call.isOfHost ? EIO : 1
            }
        }

        func failure(after call: Call) -> Int32? { nil }

        /// Lets all calls through from now on.
        func open() { counts.withLock { $0 = [:] } }
    }

    private static func isThere(_ name: String) throws -> Bool {
        try TestRoot.connect().domainNames().contains("\(name)-\(getpid())")
    }

    /// Each call of the end fails once, or is said to have failed: the domain has ended all the same, and its files are gone.
    @Test func theEndLeavesNothing() throws {
        let name = "sweepend"
        func calls(failing index: Int, _ kind: FailingGate.Kind, _ point: String) throws -> [Call] {
            let gate = FailingGate()
            let live = try LiveGuest(name, modules: [1], initial: .shared, gate: gate)
            let folder = live.backend.folders.ours
            gate.fail(index, kind)
            live.backend.shutDown()
            #expect(try !EndSweepTests.isThere(name), "\(point)")
            #expect(!FileManager.default.fileExists(atPath: folder) || gate.failed == .host(.unlink), "\(point)")
            try? FileManager.default.removeItem(atPath: folder)
            return gate.calls
        }
        let all = try calls(failing: 0, .notMade, "nothing fails")
        #expect(all.contains(.libvirt(.destroy)))
        var count = 0
        for index in all.indices {
            for kind in FailingGate.Kind.allCases {
                if kind == .madeAndDenied, all[index].isOfHost { continue }
                _ = try calls(failing: index + 1, kind, "\(index + 1): \(all[index]), \(kind)")
                count += 1
            }
        }
        print("call sweep, the end: \(count) injection points")
        #expect(count >= 4)
    }

    /// What was made for nothing is ended although that fails at first.
    @Test func aDomainThatWasMadeForNothingIsEndedInTheEnd() throws {
        for call: Call in [
            .host(.truncate), .libvirt(.monitor), .libvirt(.domainCapabilities),
        ] {
            let gate = RefusingGate([call: 1, .libvirt(.destroy): 3])
            let error = #expect(throws: BackendError.self) {
                _ = try LiveGuest("sweepabandon", modules: [1], gate: gate)
            }
            #expect(error?.message.contains("is left") == false, "\(call): \(error as Any)")
            #expect(try !EndSweepTests.isThere("sweepabandon"), "\(call)")
            #expect(LiveGuest.folders(of: "sweepabandon") == [], "\(call)")
        }
    }

    /// A domain that cannot be ended keeps what it has, and that is said.
    @Test func aDomainThatCannotBeEndedKeepsItsFiles() throws {
        let gate = RefusingGate([.host(.truncate): 1, .libvirt(.destroy): .max])
        let error = #expect(throws: BackendError.self) { _ = try LiveGuest("sweepstays", modules: [1], gate: gate) }
        #expect(error?.message.contains("the domain ‘sweepstays-\(getpid())’ that was made for it is left") == true)
        #expect(try EndSweepTests.isThere("sweepstays"))
        #expect(LiveGuest.folders(of: "sweepstays").count == 1)

        // It is gone on with, and cannot be ended by this one either.
        let second = RefusingGate([.libvirt(.destroy): .max])
        let live = try LiveGuest("sweepstays", modules: [1], gate: second)
        try live.convert(live.module(), to: .shared)
        let folder = live.backend.folders.ours
        live.backend.shutDown()
        #expect(try EndSweepTests.isThere("sweepstays"))
        #expect(FileManager.default.fileExists(atPath: folder + "/0"))
        // The controller is told, and so is who asks the back end itself.
        let isTold = live.log.all.contains { event in
            guard case .lost(let error) = event.kind else { return false }
            return error.message.contains("cannot be ended")
        }
        #expect(isTold)
        let refusal = #expect(throws: ConversionError.self) { try live.convert(live.module(), to: .host) }
        #expect(refusal?.cause?.message.contains("cannot be ended: it runs on, with its files in \(folder)") == true)

        let asked = #expect(throws: BackendError.self) { try live.backend.populate(live.module()) }
        #expect(asked?.message.contains("cannot be ended") == true)

        // The next one finds it as it was, and ends it.
        let third = try LiveGuest("sweepstays", modules: [1])
        #expect(third.ownership == [.shared])
        third.backend.shutDown()
        #expect(try !EndSweepTests.isThere("sweepstays"))
        #expect(!FileManager.default.fileExists(atPath: folder))
    }
}

#endif

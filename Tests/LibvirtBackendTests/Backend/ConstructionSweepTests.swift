#if Libvirt
import Custody
import CustodyPolicy
import Foundation
import Glibc
import Testing

@testable import LibvirtBackend

@Suite(.timeLimit(.minutes(60))) struct ConstructionSweepTests {
    /// Making a back end fails at every call once: no domain and no file is left, and the next attempt makes one.
    @Test func constructionLeavesNothing() throws {
        let name = "sweepmake"
        func make(_ gate: any CallGate = OpenGate()) throws -> LiveGuest {
            try LiveGuest(name, modules: [1], gate: gate) { options in
                options.elasticPools = [try .test()]
                options.hasBalloon = true
            }
        }
        // The directories are made once.
        _ = try make()
        let counting = FailingGate()
        let calls = try {
            _ = try make(counting)
            return counting.calls
        }()
        let counts = Dictionary(grouping: calls) { $0 }.mapValues(\.count).sorted { "\($0.key)" < "\($1.key)" }
        var points = counts.flatMap { call, count in
            (1...count).map { (call: call, kind: FailingGate.Kind.notMade, occurrence: $0) }
        }
        // An answer of libvirt's that gets lost.
        for call in counting.made where !call.isOfHost && !FailingGate.returnsSomething(call) {
            points.append((call, .madeAndDenied, 1))
        }
        #expect(points.contains { $0.kind == .madeAndDenied && $0.call == .libvirt(.createTransient) })
        var count = 0
        var survived: Set<String> = []
        for (call, kind, occurrence) in points {
            let point = "\(call), \(kind), \(occurrence)"
            let gate = FailingGate()
            gate.fail(occurrence, of: call, kind, code: call.isOfHost ? EIO : 1)
            do {
                let live = try make(gate)
                if gate.failed != nil { survived.insert(point) }
                gate.fail(0)
                try live.convert(live.module(), to: .shared)
            } catch {
                #expect(error is BackendError, "\(point): \(error)")
                count += 1
            }
            #expect(LiveGuest.folders(of: name) == [], "\(point)")
            let names = try TestRoot.connect().domainNames()
            #expect(!names.contains("\(name)-\(getpid())"), "\(point)")
        }
        count += survived.count
        print("call sweep, construction: \(count) injection points; gone on without: \(survived.sorted())")
        #expect(count >= 20)
    }
}

#endif

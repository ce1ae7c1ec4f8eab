#if Libvirt
import Custody
import CustodyPolicy
import Foundation
import Glibc
import Testing

@testable import LibvirtBackend

@Suite(.timeLimit(.minutes(10))) struct ConstructionSweepTests {
    /// Making a back end fails at every call once: no domain and no file is left, and the next attempt makes one.
    @Test func constructionLeavesNothing() throws {
        let name = "sweepmake"
        let counting = FailingGate()
        let (folder, calls) = try {
            let live = try LiveGuest(name, modules: [1], gate: counting)
            return (live.backend.folders.ours, counting.calls)
        }()
        var points = calls.indices.map { (index: $0, kind: FailingGate.Kind.notMade) }
        // An answer of libvirt's that gets lost.
        points += calls.indices.filter { index in
            !calls[index].isOfHost && !FailingGate.returnsSomething(calls[index])
                && calls.firstIndex(of: calls[index]) == index
        }
        .map { ($0, .madeAndDenied) }
        #expect(points.contains { $0.kind == .madeAndDenied && calls[$0.index] == .libvirt(.createTransient) })
        var count = 0
        var survived: Set<String> = []
        for (index, kind) in points {
            let gate = FailingGate()
            gate.fail(index + 1, kind, code: calls[index].isOfHost ? EIO : 1)
            do {
                let live = try LiveGuest(name, modules: [1], gate: gate)
                if gate.failed != nil {
                    survived.insert("\(calls[index])")
                    count += 1
                }
                gate.fail(0)
                try live.convert(live.module(), to: .shared)
            } catch {
                #expect(error is BackendError, "\(calls[index]): \(error)")
                count += 1
            }
            #expect(!FileManager.default.fileExists(atPath: folder), "\(index + 1): \(calls[index])")
            let names = try TestRoot.connect().domainNames()
            #expect(!names.contains("\(name)-\(getpid())"), "\(index + 1): \(calls[index])")
        }
        print("call sweep, construction: \(count) injection points; gone on without: \(survived.sorted())")
        #expect(count >= 20)
    }
}

#endif

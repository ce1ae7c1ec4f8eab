#if Libvirt
import Custody
import CustodyOptions
import CustodyPolicy
import Glibc
import Testing

@testable import LibvirtBackend

/// Which processes cannot be looked into.
@Suite(.timeLimit(.minutes(60))) struct UnseenProcessesTests {
    private static let all = "CapInh:\t0\nCapEff:\t000001fffeffffff\n"
    private static let none = "CapInh:\t0\nCapEff:\t0000000000000000\n"
    private static let first = "         0          0 4294967295\n"
    private static let proc = "22 27 0:21 / /proc rw,nosuid - proc proc rw"

    @Test(
        arguments: [
            (all, first, "pid:[4026531836]", proc, []),
            (none, first, "pid:[4026531836]", proc, [.otherUsers]),
            ("", "", "", "", [.otherUsers, .pidNamespace]),
            // Root of a user namespace is nobody outside of it.
            (all, "0 1000 1\n", "pid:[4026531836]", proc, [.otherUsers]),
            (all, first, "pid:[4026532199]", proc, [.pidNamespace]),
            (none, first, "pid:[4026531836]", proc + ",hidepid=invisible", [.otherUsers, .hidden]),
            (none, first, "pid:[4026531836]", proc + ",hidepid=2", [.otherUsers, .hidden]),
            (none, first, "pid:[4026531836]", proc + ",hidepid=off", [.otherUsers]),
            (all, first, "pid:[4026531836]", proc + ",hidepid=invisible", []),
            // The mount that is seen is the last one.
            (none, first, "pid:[4026531836]", proc + ",hidepid=2\n" + proc, [.otherUsers]),
            (none, first, "pid:[4026531836]", proc + "\n" + proc + ",hidepid=2", [.otherUsers, .hidden]),
        ] as [(String, String, String, String, Set<UnseenProcesses>)]
    )
    func kindsAreFoundByTheKernelsWord(
        status: String,
        users: String,
        namespace: String,
        mounts: String,
        kinds: Set<UnseenProcesses>
    ) {
        #expect(UnseenProcesses.all(status: status, users: users, namespace: namespace, mounts: mounts) == kinds)
    }

    /// One that a change would wait for is named beforehand: by what the change looks at.
    @Test func whoStandsInTheWayIsNamedByTheProbe() throws {
        let gate = FailingGate()
        let here = try UnseenProcesses.here(gate)
        gate.fail(1, of: .host(.tasks), code: EIO)
        let found = try UnseenProcesses.standingInTheWay(accepting: here, gate)
        #expect(found.contains { $0.obstacle?.contains("(errno \(EIO))") == true }, "\(found)")
        let first = try UnseenProcesses.standingInTheWay(accepting: here, OpenGate()).first { $0.process == 1 }
        let remarks = LibvirtProvider().probe().first { $0.mode == "embed" }?.remarks ?? []
        let remark = remarks.first { $0.contains("waits for the end of") }
        if let first {
            #expect(remark?.contains("\(first.command) (pid 1)") == true, "\(remarks)")
            #expect(remark?.contains("accept-unseen: [protected]") == true)
        } else {
            #expect(remark?.contains("(pid 1)") != true, "\(remarks)")
        }
    }

    /// Where there are some that nobody has accepted, no page becomes private; shared it can be.
    @Test func privatePagesAreRefusedUnlessTheyAreAccepted() throws {
        let here = try UnseenProcesses.here(OpenGate())
        let live = try LiveGuest("unseen", initial: .shared) { $0.acceptedUnseenProcesses = [.protected] }
        #expect(live.backend.unseenProcesses == here)
        // The capability says so, and the probe.
        let names = here.isEmpty ? nil : here.map(\.rawValue).sorted()
        #expect(live.backend.capabilities.unseenHolders == names)
        #expect(LibvirtProvider().probe().allSatisfy { $0.capabilities.unseenHolders == names })
        guard !here.isEmpty else {
            try live.convert(live.module(), to: .private)
            return
        }
        let error = #expect(throws: ConversionError.self) { try live.request(live.module(), to: .private) }
        #expect(error?.cause?.code == .unsupported)
        for kind in here { #expect(error?.cause?.message.contains(kind.rawValue) == true) }
        #expect(live.ownership == [.shared])
        let accepting = try LiveGuest("seen-all", initial: .shared) {
            $0.acceptedUnseenProcesses = here.union([.protected])
        }
        try accepting.convert(accepting.module(), to: .private)
    }
}
#endif

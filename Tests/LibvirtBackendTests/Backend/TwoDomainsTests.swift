#if Libvirt
import Custody
import CustodyPolicy
import Foundation
import Glibc
import Testing

@testable import LibvirtBackend

/// Several domains of one process, by one driver.
@Suite(.timeLimit(.minutes(60))) struct TwoDomainsTests {
    /// The end of one guest is the end of its own guard: the other one's private pages stay closed, and go on changing hands.
    @Test func oneThatEndsLeavesTheOtherOneItsGuard() throws {
        let (first, second) = (
            try LiveGuest("two-first", initial: .shared), try LiveGuest("two-second", initial: .shared)
        )
        let both = [first, second]
        #expect(first.backend.folders.ours != second.backend.folders.ours)
        #expect(first.backend.emulator != second.backend.emulator)
        for live in both {
            try live.convert(live.module(), to: .private)
            #expect(try live.perform(.write([7], to: live.module().address)) == .written)
        }
        func isClosed(_ live: LiveGuest, to name: String) -> Bool {
            let error = #expect(throws: BackendError.self) { try live.backend.map(live.module(), as: name) }
            return error?.code == .accessDenied
        }
        for live in both { #expect(isClosed(live, to: "early")) }
        // Between two looks: nothing is under way, and nobody has asked.
        #expect(kill(first.backend.emulator, SIGKILL) == 0)
        #expect(LiveGuest.waits { first.log.isLost })
        #expect(isClosed(second, to: "later"))
        #expect(second.ownership == [.private])
        let error = #expect(throws: ConversionError.self) { try first.request(first.module(), to: .shared) }
        #expect(error?.cause?.code == .lost, "\(error as Any)")
        let folder = first.backend.folders.ours
        first.backend.shutDown()
        #expect(!FileManager.default.fileExists(atPath: folder))
        // The first one's guard has ended, and the second one's has not.
        #expect(isClosed(second, to: "last"))
        #expect(try second.perform(.read(count: 1, from: second.module().address)) == .bytes([7]))
        try second.convert(second.module(), to: .shared)
        try second.backend.map(second.module(), as: "backup")
        #expect(try second.backend.read(1, from: second.module().address, as: "backup") == [7])
        let (ticket, _) = try second.begin(second.module(), to: .private, heldBy: ["backup"])
        try second.backend.release(as: "backup")
        #expect(ticket.end == "completed, contents preserved")
        #expect(!second.log.isLost)
        // A third one has the name that the first one had.
        let third = try LiveGuest("two-first", initial: .shared)
        try third.convert(third.module(), to: .private)
        #expect(isClosed(third, to: "third"))
    }
}
#endif

#if Libvirt
import CHolders
import Custody
import CustodyPolicy
import Foundation
import Glibc
import GuestChannel
import Testing

@testable import LibvirtBackend

/// What is left when something ends that should not have.
@Suite(.timeLimit(.minutes(60))) struct FailureTests {
    @Test func aGuestThatIsKilledWithAHandOverPendingIsLost() throws {
        let live = try LiveGuest("killed", modules: [4, 1], initial: .shared)
        let (ticket, _) = try live.begin(live.module(), to: .host)
        let emulator = live.backend.emulator
        #expect(kill(emulator, SIGKILL) == 0)
        guard case .failed(let error)? = ticket.wait(for: LiveGuest.patience) else {
            Issue.record("the hand-over did not fail: \(String(describing: ticket.result))")
            return
        }
        #expect(error.code == .lost)
        #expect(live.ownership == [.shared, .shared])
        let refusal = #expect(throws: ConversionError.self) { try live.convert(live.module(1), to: .private) }
        #expect(refusal?.cause?.code == .lost)
        let folder = live.backend.folders.ours
        live.backend.shutDown()
        #expect(!FileManager.default.fileExists(atPath: folder))
        #expect(!LiveGuest.isAlive(emulator))
        #expect(try TestRoot.connect().domainNames().contains(live.name) == false)
    }

    /// A module that is to come when another process lets go of it, and cannot be plugged in then: its memory goes back.
    @Test func memoryThatWasTakenForNothingGoesBack() throws {
        let gate = FailingGate()
        let live = try LiveGuest("late", gate: gate)
        try live.backend.map(live.module(), as: "loader")
        let (ticket, _) = try live.begin(live.module(), to: .private, heldBy: ["loader"])
        #expect(try live.backend.backedBytes(of: live.module()) == 4 << 20)
        gate.fail(1, of: .libvirt(.attach))
        try live.backend.release(as: "loader")
        #expect(ticket.end.hasPrefix("failed: "))
        #expect(gate.failed == .libvirt(.attach))
        #expect(live.ownership == [.host])
        #expect(try live.plugged() == [])
        #expect(try live.backend.backedBytes(of: live.module()) == 0)
        // At once, too.
        gate.fail(1, of: .libvirt(.attach))
        #expect(throws: ConversionError.self) { try live.convert(live.module(), to: .shared) }
        #expect(try live.backend.backedBytes(of: live.module()) == 0)
        // Others are let in again, and the next attempt succeeds.
        try live.backend.map(live.module(), as: "loader")
        try live.backend.release(as: "loader")
        try live.convert(live.module(), to: .private)
        #expect(live.ownership == [.private])
    }

    /// The guest says nothing until the deadline: all is as before, and it was named. It cannot be told; when it lets go after
    /// all the host has the memory.
    @Test func aGuestThatIgnoresTheQuestionKeepsTheModuleUntilItAnswers() throws {
        let live = try LiveGuest("ignores", initial: .shared)
        #expect(!live.backend.capabilities.takesRequestsBack)
        let (ticket, blockers) = try live.begin(live.module(), to: .host, deadline: .milliseconds(50))
        #expect(blockers.map { "\($0.holder)" } == ["guest: memory module ua-custody-0"])
        #expect(ticket.end == "expired")
        #expect(live.ownership == [.shared])
        #expect(try live.plugged() == [0])
        #expect(try live.perform(.write([5], to: live.module().address)) == .written)
        // What it is asked again joins the question that is open.
        let (again, _) = try live.begin(live.module(), to: .host)
        #expect(again.cancel())
        #expect(live.ownership == [.shared])
        try live.answerRemovals(.accept)
        #expect(LiveGuest.waits { live.ownership == [.host] })
        #expect(try live.plugged() == [])
        #expect(try live.backend.backedBytes(of: live.module()) == 0)
        // And the memory can be given again.
        try live.convert(live.module(), to: .shared)
        #expect(try live.perform(.read(count: 1, from: live.module().address)) == .bytes([0]))
    }

    /// A back end with three modules, a secret in the first and the second one pending on its way to the host, that is gone
    /// as its process were.
    private static func leave(
        _ name: String,
        _ secret: PageRange
    ) throws -> (TicketID, ControllerSnapshot, emulator: Int32) {
        let live = try LiveGuest(name, modules: [4, 4, 1], initial: .shared, isOwner: false)
        #expect(try live.perform(.write([1, 2, 3], to: live.module().address)) == .written)
        try live.convert(secret, to: .private)
        let (ticket, _) = try live.begin(live.module(1), to: .host)
        let snapshot = try JSONDecoder().decode(
            ControllerSnapshot.self,
            from: JSONEncoder().encode(live.controller.snapshot())
        )
        live.backend.abandon()
        return (ticket.id, snapshot, live.backend.emulator)
    }

    /// A process that is gone without a word: its guest runs on, and the next one takes it over with what was pending.
    @Test func whoComesAfterGoesOn() throws {
        let secret = try PageRange(start: LiveGuest.module(0, mebibytes: 4).start, count: 3)
        let (id, snapshot, emulator) = try FailureTests.leave("after", secret)
        let second = try LiveGuest("after", modules: [4, 4, 1], initial: .shared, restoring: snapshot)
        #expect(second.backend.emulator == emulator)
        // What was private has been within everybody's reach since.
        #expect(second.ownership[0] == .shared)
        let restoration = try #require(second.controller.restoration)
        #expect(restoration.ownership.map(\.range) == [secret])
        #expect(restoration.ownership.map(\.before) == [.private] && restoration.ownership.map(\.after) == [.shared])
        #expect(restoration.resumed == [id])
        var bytes: [UInt8] = [0, 0, 0]
        var span = bytes.mutableSpan
        // The hand-over that was pending is asked for again, and goes through.
        #expect(LiveGuest.waits { second.controller.pendingTickets.map(\.id) == [id] })
        let resumed = try #require(second.controller.pendingTickets.first)
        try second.answerRemovals(.accept)
        #expect(resumed.end == "completed, contents zeroed")
        #expect(second.ownership == [.shared, .host, .shared])
        try second.controller.read(&span, from: second.module().address, for: Holder(device: "test"))
        #expect(bytes == [1, 2, 3])
    }

    /// What the guest gave up while nobody listened is the host's for the next process.
    @Test func whatWentMeanwhileIsTheHosts() throws {
        let first = try LiveGuest("meanwhile", modules: [4], initial: .shared, isOwner: false)
        _ = try first.begin(first.module(), to: .host)
        let console = try MicroGuestConsole(path: TestRoot.root.path + "/\(first.name).console")
        first.backend.abandon()
        try console.answerRemovals(by: .accept)
        #expect(LiveGuest.waits { try first.plugged() == [] })
        let second = try LiveGuest("meanwhile", modules: [4], initial: .shared)
        #expect(second.ownership == [.host])
        #expect(try second.backend.backedBytes(of: second.module()) == 0)
    }

    /// Another process wrote to a page while nobody kept it out, and was gone by the time that anybody looked: the page is not
    /// said to be private.
    @Test func aSecretThatWasOpenMeanwhileIsNone() throws {
        let first = try LiveGuest("open-meanwhile", initial: .shared, isOwner: false)
        let secret = try PageRange(start: first.module().start, count: 2)
        try first.convert(secret, to: .private)
        #expect(try first.perform(.write([1], to: secret.address)) == .written)
        let path = first.backend.folders.path(of: 0)
        first.backend.abandon()
        // As whoever runs as this user may.
        unsafe chmod(path, 0o600)
        #expect(unsafe cholders_write(path, 9) == 0)
        let second = try LiveGuest("open-meanwhile", initial: .shared)
        #expect(second.ownership == [.shared])
        #expect(try second.perform(.read(count: 1, from: secret.address)) == .bytes([9]))
        // Asked for again it is private again, by everybody's word.
        try second.convert(secret, to: .private)
        #expect(second.controller.runs(in: second.module()).map(\.state) == [.private, .shared])
    }

    /// truncate(2) opens nothing, so that nobody is asked: what it did is seen, and the pages are not said to be private.
    @Test func aFileThatIsCutIsNotPrivate() throws {
        let live = try LiveGuest("cut", modules: [4, 1], initial: .shared)
        for number in 0..<2 { try live.convert(live.module(number), to: .private) }
        #expect(try live.perform(.write([1], to: live.module().address)) == .written)
        let path = live.backend.folders.path(of: 0)
        guard live.backend.sentry.means == .permission else {
            // Without privileges the file's mode stops every process of this user.
            #expect(unsafe cholders_truncate(path, 0, 4 << 20) == EACCES)
            return
        }
        #expect(unsafe cholders_truncate(path, 0, 4 << 20) == 0)
        #expect(LiveGuest.waits { live.ownership == [.shared, .private] })
        #expect(live.log.tells(thatPrivatePagesAreShared: live.module()))
        // What this process does to the memory itself is none of that.
        try live.convert(live.module(), to: .private)
        try live.backend.discardContents(of: live.module())
        live.backend.executor.drain()
        #expect(live.ownership == [.private, .private])
    }

    @Test func aDomainOfSomebodyElseIsNotTaken() throws {
        let connection = try TestRoot.connect()
        let name = "foreign-\(getpid())"
        var configuration = DomainConfiguration(name: name, regionsEnd: 5 << 30, slots: 4)
        configuration.firmware = try TestRoot.firmware()
        let domain = try connection.create(configuration.description)
        defer { try? domain.destroy() }
        let error = #expect(throws: BackendError.self) { _ = try LiveGuest("foreign") }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("somebody else's") == true)
        #expect(try domain.isActive())

        // Adopted it is used, and left as it was.
        let before = try XMLElement(parsing: domain.describe())
        let live = try LiveGuest("foreign") { options in options.adopt = options.domain }
        try live.convert(live.module(), to: .shared)
        #expect(try live.plugged() == [0])
        live.backend.shutDown()
        #expect(try domain.isActive())
        let after = try XMLElement(parsing: domain.describe())
        #expect(after.memoryModule("ua-custody-0") != nil)
        #expect(after.otherDevices == before.otherDevices)
    }
}

extension XMLElement {
    /// The devices that are no memory.
    fileprivate var otherDevices: [XMLElement]? { first("devices")?.elements().filter { $0.name != "memory" } }
}
#endif

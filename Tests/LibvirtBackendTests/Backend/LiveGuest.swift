#if Libvirt
import Custody
import CustodyOptions
import CustodyPolicy
import Foundation
import Glibc
import GuestChannel
import Testing

@testable import LibvirtBackend

/// A domain with the micro guest, a back end and a controller of it; it ends with its owner.
final class LiveGuest {
    static let start: UInt64 = 4 << 30
    static let mebibyte: UInt64 = 1 << 20

    let backend: LibvirtBackend
    let controller: MemoryController
    /// What the controller told.
    let log: EventLog
    let name: String
    private let isOwner: Bool

    /// Which test has a domain of which name: another one beside it would find that one, rather than make its own.
    private static let users = Locked<[String: Test.ID]>([:])

    /// A domain with modules of so many MiB, the first one at 4 GiB and a hole after each of them.
    init(
        _ name: String,
        modules: [UInt64] = [4],
        processors: Int = 1,
        initial: Ownership = .host,
        gate: any CallGate = OpenGate(),
        restoring snapshot: ControllerSnapshot? = nil,
        limits: ControllerLimits = ControllerLimits(),
        patience: Duration = LiveGuest.patience,
        executor: (any CompletionExecutor)? = nil,
        isOwner: Bool = true,
        _ adjust: (inout LibvirtOptions) throws -> Void = { _ in }
    ) throws {
        self.name = "\(name)-\(getpid())"
        self.isOwner = isOwner
        if let test = Test.current?.id {
            let user = LiveGuest.users.withLock { users in
                users[name] = users[name] ?? test
                return users[name]
            }
            #expect(user == test, "the name ‘\(name)’ is taken")
        }
        var options = LiveGuest.options(self.name)
        options.initial = initial
        try adjust(&options)
        let regions = try modules.enumerated().map { try LiveGuest.module($0.offset, mebibytes: $0.element) }
        let guest = GuestConfiguration(layout: try GuestMemoryLayout(regions: regions), processors: processors)
        backend = try LibvirtBackend(guest, options: options, gate: gate, patience: patience, executor: executor)
        let (backend, log) = (backend, EventLog())
        self.log = log
        controller =
            snapshot.map {
                MemoryController(
                    backend: backend,
                    policy: AllowAll(),
                    limits: limits,
                    observer: log,
                    restoring: $0
                )
            } ?? MemoryController(backend: backend, policy: AllowAll(), limits: limits, observer: log)
    }

    deinit { if isOwner { backend.shutDown() } }

    static func options(_ name: String) -> LibvirtOptions {
        var options = LibvirtOptions()
        options.root = TestRoot.root.path
        options.memory = TestRoot.root.memory
        options.domain = name
        options.acceptedUnseenProcesses = unseenHere
        options.acceptsDisk = true
        return options
    }

    /// The processes that cannot be looked into where the tests run, which may be a container, and what supervises it may not be
    /// traced.
    static var unseenHere: Set<UnseenProcesses> {
        ((try? UnseenProcesses.here(OpenGate())) ?? []).union([.protected])
    }

    /// The directories of memory files that domains of a name have, or have left.
    static func folders(of name: String) -> [String] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: TestRoot.root.memory + "/custody")) ?? []
        return all.filter { $0.hasPrefix("\(name)-\(getpid())-") }
    }

    /// The pages of a module.
    static func module(_ number: Int, mebibytes: UInt64) throws -> PageRange {
        try PageRange(address: GuestPhysicalAddress(start + UInt64(number) << 28), byteCount: mebibytes * mebibyte)
    }

    func module(_ number: Int = 0) -> PageRange { backend.layout.regions[number] }

    /// Asks for a conversion, and says what came of it at once.
    func request(_ range: PageRange, to target: Ownership, deadline: Duration? = nil) throws -> ConversionOutcome {
        try controller.convert(
            ConversionRequest(range, to: target, by: .host("test"), whenHeld: .handOver(deadline: deadline))
        )
    }

    /// Converts, and sleeps until that is done, which it need not be at once: a process that this one forks off, as libvirt and
    /// other tests do, has the files of all modules until it becomes a program.
    ///
    /// - Returns: what became of the contents; `nil` where it was not done, which is an issue.
    @discardableResult
    func convert(
        _ range: PageRange,
        to target: Ownership,
        at location: Testing.SourceLocation = #_sourceLocation
    ) throws -> ContentsEffect? {
        let outcome = try request(range, to: target)
        switch outcome.status {
        case .completed: return outcome.contents
        case .pending(let ticket, let blockers):
            if case .completed(let contents)? = ticket.wait(for: LiveGuest.patience) { return contents }
            let holders = log.holders(of: ticket).last ?? blockers
            Issue.record("\(range) → \(target): \(ticket.end), held by \(holders)", sourceLocation: location)
        default: Issue.record("\(range) → \(target): \(outcome)", sourceLocation: location)
        }
        return nil
    }

    /// Begins a hand-over that these hold up, and sleeps until nobody else does: see ``convert(_:to:at:)``.
    ///
    /// - Returns: the hand-over, and them.
    func begin(
        _ range: PageRange,
        to target: Ownership,
        heldBy devices: [String] = ["guest"],
        deadline: Duration? = nil,
        at location: Testing.SourceLocation = #_sourceLocation
    ) throws -> (Ticket, [Blocker]) {
        let outcome = try request(range, to: target, deadline: deadline)
        guard case .pending(let ticket, let blockers) = outcome.status else {
            throw BackendError(.invalidArgument, "not pending: \(outcome)")
        }
        var found: [Blocker]?
        let isHeld = LiveGuest.waits {
            found = ([blockers] + log.holders(of: ticket)).first { $0.map(\.holder.device) == devices }
            return found != nil
        }
        if !isHeld {
            let all = [blockers] + log.holders(of: ticket)
            Issue.record("\(range) → \(target) is held by \(all), not by \(devices)", sourceLocation: location)
        }
        return (ticket, found ?? blockers)
    }

    func answerRemovals(_ answer: RemovalAnswer) throws {
        #expect(try perform(.answerRemovals(answer)) == .understood)
    }

    func perform(_ operation: GuestOperation) throws -> GuestOutcome {
        guard let agent = backend.guestAgent else { throw BackendError(.unsupported, "no channel") }
        return try agent.perform(operation, on: 0, answeringTo: controller)
    }

    /// The ownership of each module; `nil` where it is not in one.
    var ownership: [Ownership?] {
        backend.layout.regions.map { region in
            let runs = controller.runs(in: region)
            return runs.count == 1 ? runs[0].state : nil
        }
    }

    /// The modules that the guest has, by libvirt's description.
    func plugged() throws -> [Int] {
        let live = try backend.domain.describe()
        return backend.modules.indices.filter { live.memoryModule(MemoryModule.alias($0)) != nil }
    }

    /// How long something that comes for certain is waited for, on the slowest machine.
    static let patience = Duration.seconds(120)

    /// Sleeps until something is so.
    static func waits(_ isSo: () throws -> Bool) -> Bool {
        let end = ContinuousClock.now + patience
        while ContinuousClock.now < end {
            if (try? isSo()) == true { return true }
            usleep(5_000)
        }
        return false
    }

    /// Whether a process is there, and not only waits to be reaped.
    static func isAlive(_ process: Int32) -> Bool {
        let fields = ProcessMaps.text("/proc/\(process)/stat").split(separator: ")").last?.split(separator: " ")
        return fields?.first.map { $0 != "Z" && $0 != "X" } ?? false
    }
}

extension Ticket {
    /// How it ends, in words: it is waited for.
    var end: String { wait(for: LiveGuest.patience).map { "\($0)" } ?? "pending" }
}
#endif

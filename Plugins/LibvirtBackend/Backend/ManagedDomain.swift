#if Libvirt
package import Custody
import Glibc

/// A domain that this back end works on, by whatever connection there is to it at the moment.
///
/// A connection to a daemon can be lost and made again; the domain is found by its UUID then. What happens to it comes into
/// one bounded buffer all the time.
package final class ManagedDomain: Sendable {
    /// A connection, and what was got by it.
    private final class Link: Sendable {
        let connection: Connection
        let domain: Domain
        let subscription: EventSubscription

        init(_ connection: consuming Connection, _ domain: consuming Domain, _ events: EventBuffer) throws(VirError) {
            subscription = try EventSubscription(to: connection, into: events)
            self.connection = connection
            self.domain = domain
        }
    }

    /// The domain's name.
    package let name: String
    /// Its UUID.
    package let uuid: String
    /// What happened to it and to all others of the connection.
    let events: EventBuffer
    private let uri: String
    private let gate: any CallGate
    private let authentication: ConnectionAuthentication?
    private let link: Locked<Link>
    private let emulator = Locked<Int32?>(nil)

    /// Takes a domain over, with its connection.
    init(_ connection: consuming Connection, _ domain: consuming Domain, events: EventBuffer) throws(VirError) {
        name = domain.name
        uuid = domain.uuid
        uri = connection.uri
        gate = connection.gate
        authentication = connection.authentication
        self.events = events
        link = Locked(try Link(connection, domain, events))
    }

    /// Makes calls on the domain. They block, and no lock is held.
    package func use<Result>(_ body: (borrowing Domain) throws(VirError) -> Result) throws(VirError) -> Result {
        let link = link.withLock { $0 }
        return try body(link.domain)
    }

    /// Makes calls on the connection.
    package func useConnection<Result, Failure: Error>(
        _ body: (borrowing Connection) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let link = link.withLock { $0 }
        return try body(link.connection)
    }

    /// Asks QEMU.
    func ask<Answer: Decodable>(
        _ command: String,
        _ arguments: [String: String]? = nil,
        for answer: Answer.Type
    ) throws(BackendError) -> Answer {
        let link = link.withLock { $0 }
        return try link.domain.ask(command, arguments, for: answer)
    }

    /// Makes calls on both.
    func withLink<Result>(
        _ body: (borrowing Domain, borrowing Connection) throws(BackendError) -> Result
    ) throws(BackendError) -> Result {
        let link = link.withLock { $0 }
        return try body(link.domain, link.connection)
    }

    /// Listens to what happens to it from now on.
    func watch() throws(BackendError) -> DomainWatch {
        let link = link.withLock { $0 }
        return try DomainWatch(link.domain, on: link.connection)
    }

    /// Whether the other end of the connection still answers.
    var isConnected: Bool {
        let link = link.withLock { $0 }
        return link.connection.isAlive
    }

    // MARK: The process that runs it

    /// Notes the process that runs it. Another one would be another guest, with nothing of this one's memory.
    func isRun(by process: Int32) { emulator.withLock { $0 = process } }

    /// Whether a process has the domain's UUID on its command line; `false` where it is gone.
    ///
    /// - Throws: `HostError` where that cannot be seen.
    func isNamed(by process: Int32) throws(HostError) -> Bool { try ProcessMaps.hasArgument(uuid, process) }

    /// The process that has, of those that this user may look at; `nil` for none.
    ///
    /// - Throws: `VirError` where the processes cannot be seen.
    func processThatRunsIt() throws(VirError) -> Int32? {
        do throws(HostError) {
            for process in try ProcessMaps.numbers(in: "/proc", .scan, OpenGate()) {
                do throws(HostError) { if try isNamed(by: process) { return process } } catch {
                    guard error.errno == EACCES || error.errno == EPERM else { throw error }
                }
            }
            return nil
        } catch {
            throw VirError(unseen: error)
        }
    }

    /// Whether the process that runs it has ended; `false` where none is known.
    private func hasLostItsEmulator() throws(HostError) -> Bool {
        guard let process = emulator.withLock({ $0 }) else { return false }
        return try !isNamed(by: process)
    }

    // MARK: The connection

    /// Makes a new connection, and finds the domain again.
    ///
    /// - Returns: `false` where the connection is there and the domain is not: it does not run, or was started anew.
    func reconnect() throws(VirError) -> Bool {
        let connection = try Connection.open(uri, gate: gate, authentication)
        guard let domain = try connection.domain(uuid: uuid), try !domain.hasEnded() else { return false }
        do throws(HostError) { if try hasLostItsEmulator() { return false } } catch { throw VirError(unseen: error) }
        let new = try Link(connection, domain, events)
        link.withLock { $0 = new }
        return true
    }

    /// Ends the domain, by a new connection where there is none any more.
    ///
    /// - Throws: `VirError` where it is not known to have ended within five seconds.
    func end() throws(VirError) {
        let end = ContinuousClock.now + .seconds(5)
        while true {
            do throws(VirError) {
                return try use { domain throws(VirError) in try domain.end(before: end) }
            } catch {
                guard !isConnected, ContinuousClock.now < end else { throw error }
                // Whether that is possible already is seen by the next attempt.
                if reconnect(before: end) == false { return }
                usleep(50_000)
            }
        }
    }

    /// Connects again, where that goes before a time: a daemon that hangs lets a thread of its own wait, and nobody else.
    ///
    /// - Returns: `nil` where there is no new connection by then.
    private func reconnect(before end: ContinuousClock.Instant) -> Bool? {
        let attempt = Monitor<Bool??>(.none)
        let started: Void? = try? Thread.start { [self] in
            let isFound = try? reconnect()
            attempt.update { $0 = .some(isFound) }
        }
        guard started != nil else { return nil }
        return attempt.wait(for: max(end - ContinuousClock.now, .zero)) { $0 } ?? nil
    }

    // MARK: What it is

    /// The description of what runs.
    ///
    /// - Throws: `BackendError` with code ``BackendError/Code/lost`` where the domain does not run, or another process runs
    ///   it than the one that was noted.
    package func describe() throws(BackendError) -> XMLElement {
        let text: String
        do throws(VirError) {
            text = try use { domain throws(VirError) in try domain.describe() }
        } catch {
            throw error.asBackendError("the domain cannot be described")
        }
        let live: XMLElement
        do throws(XMLError) { live = try XMLElement(parsing: text) } catch {
            throw BackendError(.system, "libvirt's description of the domain cannot be read", cause: error)
        }
        // A domain that stays defined has a description when it has ended, too.
        guard live["id"] != nil else { throw BackendError(.lost, "the domain has ended") }
        let isLost: Bool
        do throws(HostError) { isLost = try hasLostItsEmulator() } catch {
            throw BackendError(.system, "whether the process that ran the domain is there cannot be seen", cause: error)
        }
        guard !isLost else { throw BackendError(.lost, "the process that ran the domain has ended") }
        return live
    }
}

extension XMLElement {
    /// The memory module of this alias in a domain's description.
    func memoryModule(_ alias: String) -> XMLElement? {
        first("devices")?.elements("memory").first { $0.first("alias")?["name"] == alias }
    }
}

#endif

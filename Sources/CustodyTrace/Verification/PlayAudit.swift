package import Custody
package import CustodyPolicy

/// Holds what a controller does against an ``Oracle`` while it does it.
///
/// The first violation is the last: what follows from it is none of its own.
package struct PlayAudit: Sendable {
    private var oracle: Oracle
    private var threads: [UInt: Int] = [:]
    private var count: UInt64 = 0
    private var isBroken = false

    /// An audit of a back end whose controller, with these limits, begins now: with the given ownership, or with the one
    /// that the back end has been made with.
    package init(
        of backend: any MemoryBackend,
        limits: ControllerLimits,
        ownership: PageRunMap<Ownership>? = nil
    ) {
        oracle = Oracle(
            backend.layout,
            backend.capabilities,
            ownership: ownership ?? backend.initialOwnership,
            limits: limits
        )
    }

    /// Takes what happened, in the order in which it took effect, and the ownership after all of it, where that is to be looked at.
    ///
    /// - Returns: the first rule that is broken, or `nil`.
    package mutating func take(_ events: [RecordedEvent], then ownership: [PageRun<Ownership>]?) -> OracleViolation? {
        let records = events.map { record($0) }
        return hold { (oracle) throws(OracleViolation) in
            for record in records {
                do throws(OracleViolation) { try oracle.apply(record) } catch {
                    var violation = error
                    violation.event = record.event
                    throw violation
                }
            }
            if let ownership { try oracle.check(ownership) }
        }
    }

    private mutating func record(_ recorded: RecordedEvent) -> TraceRecord {
        count += 1
        let thread = threads[recorded.thread] ?? threads.count + 1
        threads[recorded.thread] = thread
        return TraceRecord(
            number: count,
            sequence: recorded.event.sequence,
            time: recorded.event.time,
            thread: thread,
            TraceEvent(recorded.event.kind)
        )
    }

    /// Takes what the releasing thread told of before a release returned.
    package mutating func take(released events: [ControllerEvent]) -> OracleViolation? {
        hold { (oracle) throws(OracleViolation) in try oracle.checkRelease(events.map { TraceEvent($0.kind) }) }
    }

    /// Whether pages are among a range that are the other side's alone.
    package func denies(_ range: PageRange, to party: Party) -> Bool {
        guard !isBroken else { return false }
        do throws(OracleViolation) { try oracle.checkReach(range, by: party) } catch { return true }
        return false
    }

    /// Takes an access that the back end let through.
    package mutating func take(reached range: PageRange, by party: Party) -> OracleViolation? {
        hold { (oracle) throws(OracleViolation) in try oracle.checkReach(range, by: party) }
    }

    /// Takes the end of the play.
    package mutating func finish() -> OracleViolation? {
        hold { (oracle) throws(OracleViolation) in try oracle.finish() }
    }

    /// The hand-overs that nobody holds up, and that have not ended all the same.
    package func forgotten(at now: Timestamp, unseen: [PageRange]) -> [TicketID] {
        isBroken ? [] : oracle.forgotten(at: now, unseen: unseen)
    }

    private mutating func hold(
        _ body: (inout Oracle) throws(OracleViolation) -> Void
    ) -> OracleViolation? {
        guard !isBroken else { return nil }
        do throws(OracleViolation) {
            try body(&oracle)
            return nil
        } catch {
            isBroken = true
            return error
        }
    }
}

import Custody
import CustodyTrace

/// Which lines of a trace somebody wants to see.
struct TraceFilter {
    let page: PageNumber?
    let who: String?
    let kinds: Set<String>?
    let from: Timestamp?
    let to: Timestamp?

    func accepts(_ record: TraceRecord) -> Bool {
        if let kinds, !kinds.contains(record.event.name) { return false }
        if let from, record.time < from { return false }
        if let to, record.time > to { return false }
        if let page, !record.event.ranges.contains(where: { $0.contains(page) }) { return false }
        if let who, !record.event.actors.contains(who) { return false }
        return true
    }
}

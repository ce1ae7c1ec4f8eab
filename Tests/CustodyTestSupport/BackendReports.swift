package import Custody

/// What a back end reports, in words; what has been made is final.
package final class BackendReports: BackendObserver {
    private let log = Locked<[String]>([])

    package init() {}

    package var words: [String] { log.withLock { $0 } }
    private func note(_ word: String) { log.withLock { $0.append(word) } }

    package func handoverCompleted(_ handover: BackendHandover, _ committed: consuming CommittedChange) {
        note("completed \(handover.rawValue)")
    }
    package func handoverAdvanced(_ handover: BackendHandover, stillHeldBy blockers: [Blocker]) {
        note("advanced \(handover.rawValue): \(blockers.map(\.holder.device))")
    }
    package func handoverFailed(_ handover: BackendHandover, _ error: BackendError) {
        note("failed \(handover.rawValue): \(error.code.rawValue)")
    }
    package func guestOffers(_ range: PageRange) { note("offered \(range.count)") }
    package func backendReconnected(finding ownership: PageRunMap<Ownership>) { note("reconnected") }
    package func backendLost(_ error: BackendError) { note("lost: \(error.message)") }
}

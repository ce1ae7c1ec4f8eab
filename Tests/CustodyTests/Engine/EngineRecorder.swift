import Custody
import Synchronization

/// An observer that writes down what it is told, and finishes what has been made.
final class EngineRecorder: BackendObserver {
    private let told = Mutex<[String]>([])
    var reports: [String] { told.withLock { $0 } }

    private func note(_ report: String) { told.withLock { $0.append(report) } }

    func handoverCompleted(_ handover: BackendHandover, _ committed: consuming CommittedChange) {
        note("completed \(handover.rawValue) \(committed.change.to)")
    }
    func handoverAdvanced(_ handover: BackendHandover, stillHeldBy blockers: [Blocker]) {
        note("advanced \(handover.rawValue) \(blockers.map(\.holder.device))")
    }
    func handoverFailed(_ handover: BackendHandover, _ error: BackendError) {
        note("failed \(handover.rawValue) \(error.code.rawValue)")
    }
    func backendReconnected(finding ownership: PageRunMap<Ownership>) { note("reconnected") }
    func backendLost(_ error: BackendError) { note("lost \(error.message)") }
}

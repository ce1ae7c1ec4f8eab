import Custody
import Synchronization

// Carrying changes out.
extension MemoryController {
    enum Progress {
        case done(ContentsEffect)
        case blocked([Blocker])
        case pending(BackendHandover, [Blocker])
    }

    /// Carries a claim out that waits for nobody.
    func carryOut(
        _ id: UInt64,
        _ request: ConversionRequest,
        _ changes: Changes,
        _ range: PageRange
    ) throws(ConversionError) -> ConversionOutcome {
        do {
            var transaction = try prepare(changes)
            switch try advance(&transaction) {
            case .done(let contents):
                conclude(id, changes, isChanged: true)
                return outcome(.completed, range, changes.pageCount, contents)
            case .blocked(let blockers):
                conclude(id, changes, isChanged: false)
                return outcome(.blocked(by: blockers), range, stoppedAt: changes[0].range.start)
            case .pending(let reference, let blockers):
                return try register(id, request, changes, range, consume transaction, reference, blockers)
            }
        } catch let error as BackendError {
            conclude(id, changes, isChanged: false)
            if error.code == .lost { backendLost(error) }
            throw ConversionError(.backend, "the back end could not do it", range: range, cause: error)
        } catch let error as ConversionError {
            throw error
        } catch {
            throw ConversionError(.backend, "\(error)", range: range)
        }
    }

    func prepare(_ changes: Changes) throws(BackendError) -> Transaction {
        let transaction = try Transaction(changes, on: backend)
        changes.forEach { emit(.prepared($0)) }
        return transaction
    }

    func advance(_ transaction: inout Transaction) throws(BackendError) -> Progress {
        while true {
            switch try transaction.advance() {
            case .committed(let change): emit(.committed(change))
            case .blocked(let blockers): return .blocked(blockers)
            case .pending(let handover, let blockers): return .pending(handover, blockers)
            case .done: return .done(transaction.finish { emit(.finished($0, $1)) } ?? .preserved)
            }
        }
    }

    /// Ends a claim: its pages are in the new ownership, or in the one before.
    func conclude(_ id: UInt64, _ changes: Changes, isChanged: Bool) {
        state.withLock { $0.conclude(id, changes, isChanged: isChanged) }
    }
}

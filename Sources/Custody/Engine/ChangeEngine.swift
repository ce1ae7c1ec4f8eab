/// The changes under way of one back end, from their plans to their ends; its observer, and its loss.
///
/// A back end makes one and hands it out as ``PageMover/engine``; what is done with it is in the extension of
/// ``PageMover``. Its lock is held for a moment at a time, and never across a call of the back end.
public final class ChangeEngine<Token: Sendable>: Sendable {
    /// How far a change has got.
    enum Phase: Sendable, Hashable {
        /// Not moved yet.
        case planned
        /// The back end is being called for it.
        case busy
        /// Pending: the back end is called for it again.
        case waiting
        /// Moved, and neither finished nor undone.
        case made
    }

    struct Entry: Sendable {
        var planned: PlannedChange<Token>
        var phase = Phase.planned
        /// Who held it up at the last attempt.
        var holders: [Blocker] = []
        /// How often it has been moved in vain.
        var attempts = 0
        /// The next attempt.
        var timer: TimerID?
        /// Whether it is to be tried again at once.
        var isDue = false
    }

    private struct State: Sendable {
        var entries: [BackendHandover: Entry] = [:]
        var next: UInt64 = 0
        var lost: BackendError?
        weak var observer: (any BackendObserver)?

        /// Takes up a change that waits.
        mutating func takeUp(_ id: BackendHandover) -> Attempt? {
            guard var entry = entries[id], entry.phase == .waiting else { return nil }
            let timer = entry.timer
            entry.timer = nil
            entry.isDue = false
            entry.phase = .busy
            entries[id] = entry
            return (entry.planned, timer, lost)
        }
    }

    /// When a change that somebody holds up is tried again.
    let retry: Backoff
    private let state = Monitor(State())

    /// An engine without changes.
    ///
    /// - Parameter retry: When a change that somebody holds up (``MoveOutcome/held(by:)``) is tried again; it never gives up,
    ///   whatever number of attempts it has.
    public init(retry: Backoff = .standard) {
        self.retry = Backoff(first: retry.first, longest: retry.longest, attempts: .max)
    }

    /// Who is told.
    package var observer: (any BackendObserver)? { state.update { $0.observer } }

    /// Why no call succeeds any more.
    public var lost: BackendError? { state.update { $0.lost } }

    /// How many changes are pending.
    package var pendingCount: Int {
        state.update { state in
            state.entries.values.count { $0.phase == .waiting || $0.phase == .busy && $0.attempts > 0 }
        }
    }

    /// How many changes have not ended.
    package var count: Int { state.update { $0.entries.count } }

    func observe(_ observer: any BackendObserver) { state.update { $0.observer = observer } }

    /// Enters what has been planned.
    func enter(_ change: OwnershipChange, _ token: Token) -> Reservation {
        state.update { state in
            state.next += 1
            let id = BackendHandover(rawValue: state.next)
            state.entries[id] = Entry(planned: PlannedChange(id: id, change: change, token: token))
            return Reservation(rawValue: id.rawValue)
        }
    }

    /// Begins the first move of a change; `nil` where it was not planned here.
    func begin(_ reservation: Reservation) -> PlannedChange<Token>? {
        let id = BackendHandover(rawValue: reservation.rawValue)
        return state.update { state in
            guard state.entries[id]?.phase == .planned else { return nil }
            state.entries[id]?.phase = .busy
            return state.entries[id]?.planned
        }
    }

    /// Takes a change out that is planned or made; `nil` where there is none.
    func take(_ reservation: Reservation, _ phase: Phase) -> PlannedChange<Token>? {
        let id = BackendHandover(rawValue: reservation.rawValue)
        return state.update { state in
            guard state.entries[id]?.phase == phase else { return nil }
            return state.entries.removeValue(forKey: id)?.planned
        }
    }

    /// Takes a change out that the back end was called for.
    func remove(_ id: BackendHandover) { state.update { _ = $0.entries.removeValue(forKey: id) } }

    /// Notes that a change has been made.
    ///
    /// - Returns: the observer.
    @discardableResult
    func make(_ planned: PlannedChange<Token>) -> (any BackendObserver)? {
        state.update { state in
            state.entries[planned.id]?.planned = planned
            state.entries[planned.id]?.phase = .made
            return state.observer
        }
    }

    /// What becomes of a change that has not been made.
    struct Wait: Sendable {
        /// The time to the next attempt; `nil` where the back end has to say so.
        let delay: Duration?
        /// Whether others hold it up than before.
        let isNews: Bool
        let observer: (any BackendObserver)?
    }

    /// Has a change wait that could not be made. It is tried again at once where that was asked for meanwhile, or no call
    /// succeeds any more.
    func wait(_ planned: PlannedChange<Token>, heldBy holders: [Blocker], isAsked: Bool) -> Wait {
        state.update { state in
            guard var entry = state.entries[planned.id] else { return Wait(delay: nil, isNews: false, observer: nil) }
            entry.planned = planned
            entry.phase = .waiting
            let isNews = entry.attempts == 0 || !holders.elementsEqual(entry.holders) { $0.isSame(as: $1) }
            if isNews { entry.holders = holders }
            entry.attempts += 1
            let isDue = entry.isDue || state.lost != nil
            let delay = isDue ? .zero : isAsked ? nil : retry.wait(afterAttempts: entry.attempts)
            entry.isDue = isDue
            state.entries[planned.id] = entry
            return Wait(delay: delay, isNews: isNews, observer: state.observer)
        }
    }

    /// Notes that a change is to be tried again at once.
    ///
    /// - Returns: whether the caller has to see to that; otherwise it comes by itself.
    func hasten(_ id: BackendHandover) -> Bool {
        state.update { state in
            guard let entry = state.entries[id], !entry.isDue, entry.phase == .busy || entry.phase == .waiting else {
                return false
            }
            state.entries[id]?.isDue = true
            return entry.phase == .waiting
        }
    }

    /// The changes that wait, or will do so, the oldest one first.
    func pending(_ isMeant: (PlannedChange<Token>) -> Bool) -> [BackendHandover] {
        state.update { state in
            state.entries.values.filter { ($0.phase == .waiting || $0.phase == .busy) && isMeant($0.planned) }
                .map(\.planned.id).sorted { $0.rawValue < $1.rawValue }
        }
    }

    /// Remembers the timer of the next attempt.
    ///
    /// - Returns: a timer that is to be withdrawn, where there is one.
    func keep(_ timer: TimerID, for id: BackendHandover) -> TimerID? {
        state.update { state in
            guard state.entries[id]?.phase == .waiting else { return timer }
            defer { state.entries[id]?.timer = timer }
            return state.entries[id]?.timer
        }
    }

    /// A change that the back end is about to be called for, and the timer of what is not needed any more.
    typealias Attempt = (planned: PlannedChange<Token>, timer: TimerID?, lost: BackendError?)

    /// Begins an attempt; `nil` where the change does not wait.
    func beginAttempt(_ id: BackendHandover) -> Attempt? {
        state.update { $0.takeUp(id) }
    }

    /// Takes up a change that waits, once no attempt is under way; `nil` where it has ended.
    func takeUp(_ id: BackendHandover) -> Attempt? {
        let found: Attempt?? = state.wait { state in
            state.entries[id]?.phase == .busy ? nil : .some(state.takeUp(id))
        }
        return found ?? nil
    }

    /// Has a change wait on as it did, that was taken up in vain.
    func putBack(_ id: BackendHandover) { state.update { $0.entries[id]?.phase = .waiting } }

    /// Notes that no call is to succeed any more, unless a change is under way, or one has been lost before.
    ///
    /// - Parameter isFree: Asked with the lock held, while there is no change and none can come.
    /// - Returns: whether it is so now.
    package func retire(because error: BackendError, where isFree: () -> Bool) -> Bool {
        state.update { state in
            guard state.entries.isEmpty, state.lost == nil, isFree() else { return false }
            state.lost = error
            return true
        }
    }

    /// Notes that no call is to succeed any more.
    ///
    /// - Returns: the observer, where nothing was lost before.
    func lose(_ error: BackendError) -> (isFirst: Bool, observer: (any BackendObserver)?) {
        state.update { state in
            guard state.lost == nil else { return (false, nil) }
            state.lost = error
            return (true, state.observer)
        }
    }
}

extension Blocker {
    /// Whether it is the same reference, whenever it was seen.
    fileprivate func isSame(as other: Blocker) -> Bool {
        holder == other.holder && range == other.range && kind == other.kind
    }
}

import Custody
import CustodyTestSupport
import SimulationBackend
import Synchronization

/// A back end that does what it is told, and writes down each step.
final class ScriptedMover: PageMover {
    /// One answer of ``move(_:)``.
    enum Answer: Sendable {
        case does(MoveOutcome)
        case fails(BackendError)
        /// Meanwhile something happens, with no lock held.
        case runs(@Sendable (ScriptedMover, BackendHandover) -> Void, then: MoveOutcome)
    }

    struct State: Sendable {
        var answers: [Answer] = []
        var steps: [String] = []
        var times: [Timestamp] = []
        var planError: BackendError?
        var backError: BackendError?
        var isTooLate = false
        /// Changes that are planned and have not ended, and those that have.
        var open: Set<Int> = []
        var ended: [Int: Int] = [:]
        var next = 0
    }

    let capabilities: Capabilities
    let layout: GuestMemoryLayout
    let initialOwnership: PageRunMap<Ownership>
    let executor: any CompletionExecutor
    let engine = ChangeEngine<Int>()
    let state = Mutex(State())
    var guestAgent: (any GuestAgent)? { nil }

    init(executor: any CompletionExecutor = VirtualExecutor()) throws {
        layout = try GuestMemoryLayout(pages: 0..<64)
        initialOwnership = PageRunMap(bounds: layout.bounds, state: .shared)
        self.executor = executor
        capabilities = .ofTest(layout, contents: .preserved)
    }

    /// What ``move(_:)`` is to answer from now on, in order; after that pages are moved.
    func script(_ answers: [Answer]) { state.withLock { $0.answers = answers } }
    var steps: [String] { state.withLock { $0.steps } }

    private func note(_ step: String, _ token: Int, isEnd: Bool = false) {
        state.withLock { state in
            state.steps.append(step)
            guard isEnd else { return }
            state.open.remove(token)
            state.ended[token, default: 0] += 1
        }
    }

    func plan(_ change: OwnershipChange) throws(BackendError) -> Int {
        let result = state.withLock { state -> Result<Int, BackendError> in
            state.steps.append("plan")
            if let error = state.planError { return .failure(error) }
            state.next += 1
            state.open.insert(state.next)
            return .success(state.next)
        }
        return try result.get()
    }

    func move(_ planned: inout PlannedChange<Int>) throws(BackendError) -> MoveOutcome {
        note("move", planned.token)
        let now = executor.now
        let answer = state.withLock { state in
            state.times.append(now)
            return state.answers.isEmpty ? Answer.does(.done) : state.answers.removeFirst()
        }
        switch answer {
        case .does(let outcome): return outcome
        case .fails(let error): throw error
        case .runs(let body, let outcome):
            body(self, planned.id)
            return outcome
        }
    }

    func moveBack(_ planned: PlannedChange<Int>) throws(BackendError) {
        note("move back", planned.token, isEnd: true)
        if let error = state.withLock({ $0.backError }) { throw error }
    }

    func drop(_ planned: PlannedChange<Int>) -> ContentsEffect {
        note("drop", planned.token, isEnd: true)
        return .preserved
    }

    func release(_ planned: PlannedChange<Int>) { note("release", planned.token, isEnd: true) }

    func stop(_ planned: PlannedChange<Int>) -> Bool {
        note("stop", planned.token)
        return !state.withLock { $0.isTooLate }
    }

    func discardContents(of range: PageRange) throws(BackendError) {}
    func shutDown() { refuseCalls(with: BackendError(.lost, "shut down")) }
    func read(_ bytes: inout MutableSpan<UInt8>, from address: GuestPhysicalAddress) throws(BackendError) {}
    func write(_ bytes: Span<UInt8>, to address: GuestPhysicalAddress) throws(BackendError) {}
}

public import Custody
public import CustodyPolicy

/// Plays a trace once more: what was asked for comes from the trace at its times, what follows from it is done anew, and
/// held against the trace step by step.
///
/// A trace of one thread, or of several that took turns, must give the same. What several threads did at the very same
/// time is done in the order of its first lines; where it came to another order, that is shown as a difference.
public struct TraceReplay: Sendable {
    /// What came of a replay.
    public struct Report: Sendable, Equatable {
        /// The number of lines that were met.
        public internal(set) var lines = 0
        /// The number of decisions of the policy among them.
        public internal(set) var decisions: UInt64 = 0
        /// The ownership of all RAM in the end, from low to high.
        public internal(set) var ownership: [PageRun<Ownership>] = []
        /// The first difference, where there is one.
        public internal(set) var difference: ReplayDifference?
    }

    /// The number of base pages that a short trace may ask to change: 256 GiB of them.
    public static let maximumPages: UInt64 = 1 << 26
    /// How many more it may ask for with each of its lines.
    public static let maximumPagesPerLine: UInt64 = 4096

    private let trace: Trace
    private let policy: any Policy
    private let limits: ControllerLimits
    private let pool: SharedPool?

    /// A replay of a trace by the rules that it was made with. What other guests took from a `pool` is not in a trace.
    public init(
        _ trace: Trace,
        policy: any Policy,
        limits: ControllerLimits = ControllerLimits(),
        pool: SharedPool? = nil
    ) {
        self.trace = trace
        self.policy = policy
        self.limits = limits
        self.pool = pool
    }

    /// Why the trace cannot be played on a back end, or `nil` where it can: its guest begins as that of the trace.
    public func mismatch(with backend: any MemoryBackend) -> String? {
        guard backend.layout == trace.header.layout else { return "its guest has other memory than the trace's" }
        let other = trace.header.ownership.first { !backend.initialOwnership.isUniform($0.range, $0.state) }
        return other.map { "its guest does not begin with \($0.range) \($0.state), as the trace does" }
    }

    /// Plays the trace on a back end that has not changed anything yet. Its capabilities are those of the trace.
    ///
    /// - Throws: ``TraceError`` where there is a ``mismatch(with:)``, or where the trace asks for more than ``maximumPages``
    ///   and ``maximumPagesPerLine`` allow: a back end does what is asked for page by page.
    public func run(on backend: any MemoryBackend) throws(TraceError) -> Report {
        if let mismatch = mismatch(with: backend) {
            throw TraceError("the back end cannot play it: \(mismatch)", file: trace.file, line: trace.line)
        }
        try checkWork()
        let clock = ReplayClock()
        let script = ReplayScript(trace.entries, clock)
        let scripted = ReplayBackend(backend, trace.header, script, clock)
        let controller = MemoryController(
            backend: scripted,
            policy: policy,
            limits: limits,
            pool: pool,
            observer: ReplayObserver(script)
        )
        // Only where somebody refused something: a listener costs what it is told.
        if trace.entries.contains(where: { if case .vetoed = $0.record.event { true } else { false } }) {
            _ = try? controller.add(ReplayListener(script))
        }
        var player = ReplayPlayer(controller, scripted, script, clock)
        player.play()
        return Report(
            lines: script.consumed,
            decisions: script.decisions,
            ownership: controller.runs(in: controller.layout.bounds),
            difference: script.difference
        )
    }

    /// Holds what the trace asks for against what a replay does at the most.
    private func checkWork() throws(TraceError) {
        let limit = TraceReplay.maximumPages + TraceReplay.maximumPagesPerLine * UInt64(trace.entries.count)
        var rest = limit
        for entry in trace.entries {
            let pages: UInt64
            switch entry.record.event {
            case .requested(let request): pages = min(request.range.count, request.prefix?.pages ?? .max)
            case .discarded(let range, _): pages = range.count
            default: continue
            }
            guard pages <= rest else {
                throw entry.error("by this line, more pages are to change than a replay changes: \(limit)")
            }
            rest -= pages
        }
    }
}

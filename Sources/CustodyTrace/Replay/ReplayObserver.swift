import CustodyPolicy

/// Holds every step of a replayed controller against the trace.
final class ReplayObserver: ControllerObserver {
    private let script: ReplayScript

    init(_ script: ReplayScript) { self.script = script }

    func observe(_ event: ControllerEvent) { script.meet(TraceEvent(event.kind)) }
}

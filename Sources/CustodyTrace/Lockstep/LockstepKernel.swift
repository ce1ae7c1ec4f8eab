import Custody
import CustodyProtocols

/// A kernel that is driven on both sides of a lockstep.
struct LockstepKernel: KernelDriver {
    private let real: any KernelDriver
    private let twin: (any KernelDriver)?
    private let backend: LockstepBackend

    init(_ real: any KernelDriver, beside twin: (any KernelDriver)?, of backend: LockstepBackend) {
        self.real = real
        self.twin = twin
        self.backend = backend
    }

    func call(_ operation: CustodyProtocols.Operation, frame: UInt64) -> DrivenResult? {
        both("the kernel is called: \(operation.kind)", frame) { $0.call(operation, frame: frame) }
    }

    func begin(_ name: String, _ operation: CustodyProtocols.Operation, frame: UInt64, isStopped: Bool) -> Bool {
        both("\(name) begins: \(operation.kind)", frame) {
            $0.begin(name, operation, frame: frame, isStopped: isStopped)
        }
    }

    func advance(_ name: String, steps: Int) -> Wait? {
        both("\(name) makes \(steps) steps", nil) { $0.advance(name, steps: steps) }
    }

    func finish(_ name: String) -> DrivenResult? { both("\(name) goes on", nil) { $0.finish(name) } }

    func offset(frame: UInt64) -> PageOffset? { real.offset(frame: frame) }

    func state(frame: UInt64) -> (page: PageState, folio: FolioState?)? {
        guard let twin else {
            backend.noteUncompared("the kernel's own steps")
            return real.state(frame: frame)
        }
        let (found, other) = (real.state(frame: frame), twin.state(frame: frame))
        compare("the state of a page", frame, found.map { "\($0)" }, other.map { "\($0)" })
        return found
    }

    /// What happened under the real one. What should never happen is compared: the rest may be otherwise on the other one,
    /// on which nothing fails or is late.
    var events: Events {
        let events = real.events
        _ = both("what should never happen", nil) { $0.events.ordeals }
        return events
    }

    /// Drives both, and compares what came of it.
    private func both<Value: Equatable>(
        _ call: String,
        _ frame: UInt64?,
        _ body: (any KernelDriver) -> Value
    ) -> Value {
        guard let twin else {
            backend.noteUncompared("the kernel's own steps")
            return body(real)
        }
        let (found, other) = backend.drive { (body(real), body(twin)) }
        if found != other { compare(call, frame, "\(found)", "\(other)") }
        return found
    }

    private func compare(_ call: String, _ frame: UInt64?, _ found: String?, _ other: String?) {
        guard found != other else { return }
        let page = frame.flatMap { try? PageRange(PageNumber($0)) }
        // The step after this one is told that the run is over.
        _ = backend.note(call, page ?? backend.layout.bounds, found ?? "nothing", other ?? "nothing")
    }
}

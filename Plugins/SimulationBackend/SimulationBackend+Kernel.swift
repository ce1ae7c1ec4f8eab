import Custody
public import CustodyProtocols

extension SimulationBackend: KernelDriver, KernelDriven {
    /// The simulated kernel.
    public var kernelDriver: (any KernelDriver)? { self }

    /// Makes a call of the kernel's own.
    public func call(_ operation: CustodyProtocols.Operation, frame: UInt64) -> DrivenResult? {
        guard let operation = place(operation, frame) else { return nil }
        let result = state.withLock { $0.kernel.call(operation) }
        submitWork()
        return result
    }

    /// Starts a process.
    public func begin(
        _ name: String,
        _ operation: CustodyProtocols.Operation,
        frame: UInt64,
        isStopped: Bool
    ) -> Bool {
        guard let operation = place(operation, frame) else { return false }
        return state.withLock { $0.kernel.begin(name, operation, isStopped: isStopped) }
    }

    /// Makes steps of a process.
    public func advance(_ name: String, steps: Int) -> Wait? {
        let wait = state.withLock { $0.kernel.advance(name, steps: steps) }
        submitWork()
        return wait
    }

    /// Lets a process go on to its end.
    public func finish(_ name: String) -> DrivenResult? {
        let result = state.withLock { $0.kernel.finish(name) }
        submitWork()
        return result
    }

    /// The page of the file that backs a frame.
    public func offset(frame: UInt64) -> PageOffset? { file.offset(of: PageNumber(frame)) }

    /// What the kernel has for a page.
    public func state(frame: UInt64) -> (page: PageState, folio: FolioState?)? {
        guard let offset = file.offset(of: PageNumber(frame)) else { return nil }
        return state.withLock { state in
            let world = state.kernel.world
            return (world.page(offset), world.cachedFolio(at: offset).map(world.folio))
        }
    }

    /// Everything out of the ordinary that has happened so far.
    public var events: Events { state.withLock { $0.kernel.events } }

    func place(_ operation: CustodyProtocols.Operation, _ frame: UInt64) -> CustodyProtocols.Operation? {
        guard let offset = file.offset(of: PageNumber(frame)) else { return nil }
        var placed = operation
        placed.start = offset
        return placed
    }
}

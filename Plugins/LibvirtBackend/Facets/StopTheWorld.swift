#if Libvirt
public import Custody

/// Stops the virtual processors of a domain, so that the host reads and writes guest memory as of one moment.
///
/// The world stands still while a window is open, and goes on with the last one's end. A domain that somebody else has
/// stopped stays stopped: it is not this facet's to resume.
public final class StopTheWorld: Sendable {
    /// What it can do.
    public static let capabilities = FacetCapabilities.stopTheWorld

    private struct State {
        var windows = 0
        /// Whether the domain was running when the first window was opened, and is to run again.
        var isToResume = false
        var failure: BackendError?
    }

    private let domain: Domain
    private let state = Locked(State())

    /// Of a domain.
    package init(_ domain: borrowing Domain) { self.domain = domain.share() }

    /// Opens a window. It is open until ``Window/close()``, or until the value is gone.
    ///
    /// - Throws: `BackendError`; the world goes on then, unless ``resumeFailure`` says that it could not be let.
    public func stop() throws(BackendError) -> Window {
        try state.withLock { state throws(BackendError) in
            if state.windows == 0, !state.isToResume {
                do throws(VirError) {
                    if try !domain.isPaused() {
                        state.isToResume = true
                        try domain.suspend()
                    }
                } catch {
                    // It may stand all the same.
                    resume(&state)
                    throw error.ofRunningDomain("the domain ‘\(domain.name)’ cannot be stopped")
                }
            }
            state.windows += 1
        }
        return Window(of: self)
    }

    /// Runs `body` with the world stopped.
    public func whileStopped<Value>(_ body: () throws(BackendError) -> Value) throws(BackendError) -> Value {
        let window = try stop()
        let value = try body()
        try window.close()
        return value
    }

    /// Why the world does not go on although the last window has ended; `nil` where it does.
    public var resumeFailure: BackendError? { state.withLock { $0.windows == 0 ? $0.failure : nil } }

    /// Lets the world go on where a window's end could not.
    public func resumeAgain() throws(BackendError) {
        let failure: BackendError? = state.withLock { state in
            if state.windows == 0 { resume(&state) }
            return state.failure
        }
        if let failure { throw failure }
    }

    /// Lets the domain go on where it was this facet that stopped it.
    private func resume(_ state: inout State) {
        guard state.isToResume else { return }
        do throws(VirError) {
            if try domain.isPaused() {
                do throws(VirError) { try domain.resume() } catch { if try domain.isPaused() { throw error } }
            }
            state.isToResume = false
            state.failure = nil
        } catch {
            state.failure = error.ofRunningDomain("the domain ‘\(domain.name)’ does not go on")
        }
    }

    fileprivate func closeWindow() -> BackendError? {
        state.withLock { state in
            state.windows -= 1
            guard state.windows == 0 else { return nil }
            resume(&state)
            return state.failure
        }
    }

    /// As long as it is there no virtual processor runs.
    public struct Window: ~Copyable, Sendable {
        /// `nil` once it is closed.
        private var facet: StopTheWorld?

        fileprivate init(of facet: StopTheWorld) { self.facet = facet }

        /// Lets the world go on, where this is the last window.
        ///
        /// - Throws: `BackendError` where it does not. ``StopTheWorld/resumeAgain()`` tries once more.
        public consuming func close() throws(BackendError) {
            let failure = facet?.closeWindow()
            facet = nil
            if let failure { throw failure }
        }

        // What goes wrong here is kept: StopTheWorld.resumeFailure.
        deinit { _ = facet?.closeWindow() }
    }
}

#endif

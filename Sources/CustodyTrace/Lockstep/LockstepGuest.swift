import Custody

/// A scripted guest whose accesses and answers are made on both sides of a lockstep; its requests are made once.
struct LockstepGuest: GuestAgent {
    private let real: any GuestAgent
    private let twin: (any GuestAgent)?
    private let backend: LockstepBackend

    init(_ real: any GuestAgent, beside twin: (any GuestAgent)?, of backend: LockstepBackend) {
        self.real = real
        self.twin = twin
        self.backend = backend
    }

    var processorCount: Int { real.processorCount }

    func perform(
        _ operation: GuestOperation,
        on processor: Int,
        answeringTo handler: any GuestRequestHandler
    ) throws(BackendError) -> GuestOutcome {
        let call: String
        let address: GuestPhysicalAddress
        switch operation {
        case .request: return try real.perform(operation, on: processor, answeringTo: handler)
        case .answerRemovals:
            let outcome = try real.perform(operation, on: processor, answeringTo: handler)
            do { _ = try twin?.perform(operation, on: processor, answeringTo: handler) } catch {
                backend.noteUncompared("a guest that answers removals")
            }
            return outcome
        case .write(let bytes, let to):
            (call, address) = ("the guest writes \(bytes.count) bytes at \(to)", to)
        case .read(let count, let from):
            (call, address) = ("the guest reads \(count) bytes at \(from)", from)
        }
        let outcome: GuestOutcome
        do { outcome = try real.perform(operation, on: processor, answeringTo: handler) } catch {
            // How far it got is not known.
            if case .write(let bytes, let to) = operation { backend.forget(to, bytes.count) }
            throw error
        }
        guard let twin else {
            backend.noteUncompared("the guest's own accesses")
            return outcome
        }
        let other: GuestOutcome
        do {
            other = try twin.perform(operation, on: processor, answeringTo: handler)
        } catch {
            throw backend.note(call, pages(address), "\(outcome)", "\(error)")
        }
        switch (outcome, other) {
        case (.bytes(let bytes), .bytes(let others)):
            try backend.compare(call, address, .success(bytes), .success(others))
        case (.written, .written), (.fault, .fault): break
        default: throw backend.note(call, pages(address), "\(outcome)", "\(other)")
        }
        return outcome
    }

    private func pages(_ address: GuestPhysicalAddress) -> PageRange {
        // Where both have carried an access out, or been stopped, there are pages.
        (try? PageRange(touching: address, byteCount: 1)) ?? backend.layout.bounds
    }
}

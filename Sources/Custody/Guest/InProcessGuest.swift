/// A scripted guest that is code of this process: what is its own is how it loads and stores.
public protocol InProcessGuest: GuestAgent {
    /// Loads bytes as the guest.
    ///
    /// - Throws: ``BackendError``, with a fault where the guest meets one.
    func load(_ count: Int, from address: GuestPhysicalAddress) throws(BackendError) -> [UInt8]

    /// Stores bytes as the guest; those before a fault have been stored.
    ///
    /// - Throws: ``BackendError``, with a fault where the guest meets one.
    func store(_ bytes: [UInt8], to address: GuestPhysicalAddress) throws(BackendError)

    /// Answers so from now on when it is asked to give memory up.
    func answerRemovals(_ answer: RemovalAnswer)
}

extension InProcessGuest {
    /// Nobody asks.
    public func answerRemovals(_ answer: RemovalAnswer) {}

    /// Performs the operation on the caller's thread.
    public func perform(
        _ operation: GuestOperation,
        on processor: Int,
        answeringTo handler: any GuestRequestHandler
    ) throws(BackendError) -> GuestOutcome {
        guard (0..<processorCount).contains(processor) else {
            throw BackendError(.invalidArgument, "the guest has no processor \(processor)")
        }
        do throws(BackendError) {
            switch operation {
            case .write(let bytes, let address):
                try store(bytes, to: address)
                return .written
            case .read(let count, let address): return .bytes(try load(count, from: address))
            case .request(let address, let byteCount, let target):
                let request = GuestRequest(processor: processor, address: address, byteCount: byteCount, target: target)
                return .reply(handler.handle(request))
            case .answerRemovals(let answer):
                answerRemovals(answer)
                return .understood
            }
        } catch {
            guard let fault = error.fault else { throw error }
            return .fault(fault.address)
        }
    }
}

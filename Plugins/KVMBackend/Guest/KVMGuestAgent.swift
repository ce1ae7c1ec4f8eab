import Custody

/// The guest's side, performed by the guest program on real processors.
struct KVMGuestAgent: GuestAgent {
    /// The processors.
    let processors: [VirtualProcessor]

    /// The number of virtual processors.
    var processorCount: Int { processors.count }

    /// Has a processor perform an operation with its own instructions.
    func perform(
        _ operation: GuestOperation,
        on processor: Int,
        answeringTo handler: any GuestRequestHandler
    ) throws(BackendError) -> GuestOutcome {
        guard processors.indices.contains(processor) else {
            throw BackendError(.invalidArgument, "there is no processor \(processor)")
        }
        let processor = processors[processor]
        return try processor.withTurn { () throws(BackendError) in
            switch operation {
            case .write(let bytes, let address):
                try transfer(count: bytes.count, from: address) { part, address throws(BackendError) in
                    try processor.perform(.write(Array(bytes[part]), address: address), answeringTo: handler)
                } finally: { _ in
                    .written
                }
            case .read(let count, let address):
                try transfer(count: count, from: address) { part, address throws(BackendError) in
                    try processor.perform(
                        .read(count: UInt64(part.count), address: address),
                        answeringTo: handler
                    )
                } finally: {
                    .bytes($0)
                }
            case .request(let address, let count, let target):
                try request(
                    .request(address: address, count: count, target: UInt64(target.rawValue)),
                    on: processor,
                    handler
                )
            case .answerRemovals:
                throw BackendError(.unsupported, "the guest program is never asked to give memory up")
            }
        }
    }

    private func request(
        _ command: GuestCommand,
        on processor: VirtualProcessor,
        _ handler: any GuestRequestHandler
    ) throws(BackendError) -> GuestOutcome {
        switch try processor.perform(command, answeringTo: handler) {
        case .fault(let address): return .fault(GuestPhysicalAddress(address))
        case .done(let value, let address, _):
            guard let reply = Mailbox.reply(value: value, address: address) else {
                throw BackendError(.guestFailed, "the guest reports a reply that there is not: \(value)")
            }
            return .reply(reply)
        }
    }

    /// Transfers bytes in parts of a mailbox, until all are done or one is stopped.
    private func transfer(
        count: Int,
        from start: GuestPhysicalAddress,
        part: (Range<Int>, UInt64) throws(BackendError) -> GuestCommandResult,
        finally: ([UInt8]) -> GuestOutcome
    ) throws(BackendError) -> GuestOutcome {
        guard count >= 0 else { throw BackendError(.invalidArgument, "a count of \(count) bytes") }
        guard start.advanced(by: UInt64(count)) != nil else { return .fault(start) }
        var bytes: [UInt8] = []
        var done = 0
        while done < count {
            let end = min(count, done + Int(GuestCommand.dataCapacity))
            switch try part(done..<end, start.rawValue + UInt64(done)) {
            case .fault(let address): return .fault(GuestPhysicalAddress(address))
            case .done(_, _, let read): bytes += read
            }
            done = end
        }
        return finally(bytes)
    }
}

public import Custody

/// The guest's side, performed by a guest at the other end of a channel that stores, loads and asks as it is told.
public struct ChannelGuestAgent: GuestAgent {
    /// For how long the guest may take for one command.
    public let patience: Duration
    private let connection: ChannelConnection

    /// The agent at the other end of `connection`.
    public init(_ connection: ChannelConnection, patience: Duration = .seconds(10)) {
        self.connection = connection
        self.patience = patience
    }

    /// One: a channel does not say which processor.
    public var processorCount: Int { 1 }

    /// Has the guest perform an operation with its own instructions.
    public func perform(
        _ operation: GuestOperation,
        on processor: Int,
        answeringTo handler: any GuestRequestHandler
    ) throws(BackendError) -> GuestOutcome {
        guard processor == 0 else { throw BackendError(.invalidArgument, "there is no processor \(processor)") }
        if connection.features == nil { try connection.greet(within: patience) }
        switch operation {
        case .write(let bytes, let start):
            guard start.advanced(by: UInt64(bytes.count)) != nil else { return .fault(start) }
            for part in stride(from: 0, to: bytes.count, by: ChannelCommand.maximumData) {
                let command = ChannelCommand.write(
                    Array(bytes[part..<min(part + ChannelCommand.maximumData, bytes.count)]),
                    address: start.rawValue + UInt64(part)
                )
                let result = try tell(command, handler)
                if result.status == .fault { return .fault(GuestPhysicalAddress(result.address)) }
            }
            return .written
        case .read(let count, let start):
            guard count >= 0 else { throw BackendError(.invalidArgument, "a count of \(count) bytes") }
            guard start.advanced(by: UInt64(count)) != nil else { return .fault(start) }
            var bytes: [UInt8] = []
            while bytes.count < count {
                let size = min(ChannelCommand.maximumData, count - bytes.count)
                let command = ChannelCommand.read(byteCount: size, address: start.rawValue + UInt64(bytes.count))
                let result = try tell(command, handler)
                if result.status == .fault { return .fault(GuestPhysicalAddress(result.address)) }
                guard result.data.count == size else {
                    throw BackendError(
                        .guestFailed,
                        "the guest sent \(result.data.count) bytes where \(size) were wanted"
                    )
                }
                bytes += result.data
            }
            return .bytes(bytes)
        case .request(let address, let byteCount, let target):
            let request = ChannelRequest.convert(address: address, byteCount: byteCount, to: target)
            let result = try tell(.ask(request), handler)
            do {
                return .reply(try ChannelReply(payload: result.data).guestReply(asking: address))
            } catch {
                throw BackendError(.guestFailed, "the guest reports a reply that there is not", cause: error)
            }
        case .answerRemovals(let answer):
            let removal: ChannelCommand.Removal =
                switch answer {
                case .accept: .accept
                case .refuse: .refuse
                case .ignore: .ignore
                }
            _ = try tell(.removal(removal), handler)
            return .understood
        }
    }

    private func tell(
        _ command: ChannelCommand,
        _ handler: any GuestRequestHandler
    ) throws(BackendError) -> ChannelResult {
        let result = try connection.perform(command, within: patience, answeringTo: handler)
        switch result.status {
        case .done, .fault: return result
        case .failed: throw BackendError(.guestFailed, "the guest failed with its errno \(result.error)")
        case .busy: throw BackendError(.guestFailed, "the guest is at another command")
        case .malformed, .unknownType: throw BackendError(.guestFailed, "the guest does not take this command")
        }
    }
}

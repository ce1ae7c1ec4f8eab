import Custody

/// What a connection and its thread share.
final class ChannelLine: Sendable {
    private struct State {
        var session: ChannelSession
        var isOpen = true
        var skippedBytes: UInt64 = 0
        /// The command that is under way, and its result.
        var awaited: UInt32?
        var result: ChannelResult?
        var nextID: UInt32 = 0
        /// Who answers while a command is under way.
        var handler: (any GuestRequestHandler)?
        weak var services: (any ChannelConnection.Services)?
    }

    /// For how long a guest may leave an answer unread.
    private static let patience = Duration.seconds(10)

    private let socket: ChannelSocket
    private let state: Monitor<State>
    private let sending = Monitor(())

    init(_ socket: ChannelSocket, _ session: ChannelSession) {
        self.socket = socket
        state = Monitor(State(session: session))
    }

    var isOpen: Bool { state.update { $0.isOpen } }

    var features: ChannelFeatures? { state.update { $0.session.version == nil ? nil : $0.session.features } }

    var skippedBytes: UInt64 { state.update { $0.skippedBytes } }

    func serve(_ services: (any ChannelConnection.Services)?) { state.update { $0.services = services } }

    /// Starts the thread, and ends what an earlier host may have begun to say.
    func start() throws(BackendError) {
        try Thread.start { self.receive() }
        _ = send(ChannelFrame.flush)
    }

    func close() {
        state.update { $0.isOpen = false }
        socket.shutDown()
    }

    func perform(
        _ command: ChannelCommand,
        within patience: Duration,
        answeringTo handler: (any GuestRequestHandler)?
    ) throws(BackendError) -> ChannelResult {
        let deadline = ContinuousClock.now + patience
        let turn: UInt32? = state.wait(for: patience) { state in
            guard state.isOpen else { return 0 }
            guard state.awaited == nil else { return nil }
            state.nextID = max(state.nextID &+ 1, 1)
            state.awaited = state.nextID
            state.result = nil
            state.handler = handler
            return state.nextID
        }
        guard let id = turn else { throw BackendError(.guestFailed, "the guest is still at the command before") }
        guard id != 0 else { throw ChannelLine.gone }
        defer {
            state.update { state in
                state.awaited = nil
                state.handler = nil
            }
        }
        do {
            guard send(try command.frame(id: id).bytes) else { throw ChannelLine.gone }
        } catch let error as ChannelError {
            throw BackendError(.invalidArgument, "\(error)")
        } catch let error as BackendError {
            throw error
        } catch {
            throw BackendError(.system, "the command was not sent", cause: error)
        }
        let result: ChannelResult?? = state.wait(for: deadline - ContinuousClock.now) { state in
            if let result = state.result { return result }
            return state.isOpen ? nil : .some(nil)
        }
        switch result {
        case .some(.some(let result)): return result
        case .some(nil): throw ChannelLine.gone
        case nil: throw BackendError(.guestFailed, "the guest has not answered for \(patience)")
        }
    }

    private static let gone = BackendError(.guestFailed, "the channel to the guest is closed")

    private func send(_ bytes: [UInt8]) -> Bool {
        // Whole frames, one after the other. A guest that does not read holds up nobody but who talks to it.
        guard sending.update({ _ in socket.transmit(bytes, patience: ChannelLine.patience) }) else {
            close()
            return false
        }
        return true
    }

    /// The thread: until the other end, or the owner, closes.
    private func receive() {
        var decoder = ChannelDecoder()
        while true {
            let bytes = socket.receive(upTo: 4096)
            guard !bytes.isEmpty else { break }
            var frames: [ChannelFrame] = []
            decoder.append(bytes.span) { frames.append($0) }
            // Who learns of a frame finds what was skipped before it counted.
            let skipped = decoder.skippedBytes
            state.update { $0.skippedBytes = skipped }
            for frame in frames { take(frame) }
        }
        close()
    }

    private func take(_ frame: ChannelFrame) {
        if frame.type == ChannelResult.type {
            // One that cannot be read is as good as none.
            guard let result = try? ChannelResult(frame) else { return }
            state.update { if $0.awaited == frame.id { $0.result = result } }
            return
        }
        var (session, handler, services) = state.update { ($0.session, $0.handler, $0.services) }
        // No lock is held while the handler is at it; this thread alone changes the session.
        let answer = session.answer(frame, by: handler ?? services, queries: services)
        state.update { [session] in $0.session = session }
        if let answer { _ = send(answer.bytes) }
    }
}

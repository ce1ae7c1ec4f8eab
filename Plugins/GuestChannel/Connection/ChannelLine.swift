import Custody

/// What a connection and its thread share.
final class ChannelLine: Sendable {
    /// Opens the line again after the other end has closed it.
    typealias Reopen = @Sendable () throws(BackendError) -> ChannelSocket

    /// What there is to talk by.
    private enum Link {
        case open(ChannelSocket)
        /// The other end has closed it, and it is being opened again.
        case reopening
        /// Nobody listens there; it is tried again.
        case deserted
        /// For good.
        case closed
    }

    private struct State {
        var session: ChannelSession
        var link: Link
        var skippedBytes: UInt64 = 0
        /// The command that is under way, and its result.
        var awaited: UInt32?
        var result: ChannelResult?
        /// Whether the line that the command was sent by is gone.
        var isCutOff = false
        var nextID: UInt32 = 0
        /// Who answers while a command is under way.
        var handler: (any GuestRequestHandler)?
        weak var services: (any ChannelConnection.Services)?
    }

    /// What became of bytes that were to be sent.
    private enum Sending {
        case sent
        /// The guest reads nothing.
        case unread
        case gone
    }

    /// For how long a guest may leave no room for an answer.
    private static let patience = Duration.seconds(10)

    private let state: Monitor<State>
    /// Whether part of a frame may have been sent, by this host or one before, and the rest not.
    private let isTorn = Monitor(true)
    private let granularity: PageSize
    private let reopen: Reopen?

    /// A line by a socket; `reopen` makes another one, where there can be one.
    init(_ socket: ChannelSocket, granularity: PageSize, reopen: Reopen?) {
        state = Monitor(State(session: ChannelSession(granularity: granularity), link: .open(socket)))
        self.granularity = granularity
        self.reopen = reopen
    }

    /// Whether it is open, or is being opened again and somebody may listen.
    var isOpen: Bool {
        state.update { state in
            switch state.link {
            case .open, .reopening: true
            case .deserted, .closed: false
            }
        }
    }

    var features: ChannelFeatures? { state.update { $0.session.version == nil ? nil : $0.session.features } }

    var skippedBytes: UInt64 { state.update { $0.skippedBytes } }

    func serve(_ services: (any ChannelConnection.Services)?) { state.update { $0.services = services } }

    /// Starts the thread.
    func start() throws(BackendError) { try Thread.start { self.run() } }

    func close() {
        let socket: ChannelSocket? = state.update { state in
            defer { state.link = .closed }
            return if case .open(let socket) = state.link { socket } else { nil }
        }
        socket?.shutDown()
    }

    // MARK: Commands

    func perform(
        _ command: ChannelCommand,
        within patience: Duration,
        answeringTo handler: (any GuestRequestHandler)?
    ) throws(BackendError) -> ChannelResult {
        let deadline = ContinuousClock.now + patience
        let (id, socket) = try takeTurn(within: patience, handler)
        defer {
            state.update { state in
                state.awaited = nil
                state.handler = nil
            }
        }
        let bytes: [UInt8]
        do { bytes = try command.frame(id: id).bytes } catch { throw BackendError(.invalidArgument, "\(error)") }
        switch send(bytes, by: socket, before: deadline) {
        case .sent: break
        case .unread: throw ChannelLine.silent(patience)
        case .gone: throw ChannelLine.gone
        }
        let result: ChannelResult?? = state.wait(for: deadline - ContinuousClock.now) { state in
            if let result = state.result { return result }
            return state.isCutOff ? .some(nil) : nil
        }
        switch result {
        case .some(.some(let result)): return result
        case .some(nil): throw ChannelLine.gone
        case nil: throw ChannelLine.silent(patience)
        }
    }

    /// Waits until no other command is under way, and there is a line to send by.
    private func takeTurn(
        within patience: Duration,
        _ handler: (any GuestRequestHandler)?
    ) throws(BackendError) -> (id: UInt32, ChannelSocket) {
        enum Turn {
            case mine(UInt32, ChannelSocket)
            case gone
        }
        let turn: Turn? = state.wait(for: patience) { state in
            switch state.link {
            case .closed, .deserted: return .gone
            case .reopening: return nil
            case .open(let socket):
                guard state.awaited == nil else { return nil }
                state.nextID = max(state.nextID &+ 1, 1)
                state.awaited = state.nextID
                state.result = nil
                state.isCutOff = false
                state.handler = handler
                return .mine(state.nextID, socket)
            }
        }
        switch turn {
        case .mine(let id, let socket): return (id, socket)
        case .gone: throw ChannelLine.gone
        case nil: throw BackendError(.guestFailed, "the guest is still at the command before")
        }
    }

    private static let gone = BackendError(.guestFailed, "the channel to the guest is closed")

    private static func silent(_ patience: Duration) -> BackendError {
        BackendError(.guestFailed, "the guest has not answered for \(patience)")
    }

    // MARK: Sending

    /// Sends a whole frame, and no other one within it. Whoever waits for a guest that reads nothing holds nobody up: what it
    /// reads later is whole, too.
    private func send(_ frame: [UInt8], by socket: ChannelSocket, before deadline: ContinuousClock.Instant) -> Sending {
        while true {
            let sending = isTorn.update { ChannelLine.send(frame, by: socket, isTorn: &$0) }
            guard case .unread = sending else {
                if case .gone = sending { socket.shutDown() }
                return sending
            }
            guard socket.isWritable(within: deadline - ContinuousClock.now) else { return .unread }
        }
    }

    private static func send(_ frame: [UInt8], by socket: ChannelSocket, isTorn: inout Bool) -> Sending {
        if isTorn {
            guard let count = socket.transmit(ChannelFrame.flush[...], within: .zero) else { return .gone }
            guard count == ChannelFrame.flush.count else { return .unread }
        }
        guard let count = socket.transmit(frame[...], within: .zero) else { return .gone }
        isTorn = count > 0 && count < frame.count
        return count == frame.count ? .sent : .unread
    }

    // MARK: Receiving

    /// The thread: until the owner closes, or the other end where there is no other line.
    private func run() {
        while let socket = currentSocket {
            receive(by: socket)
            state.update { state in
                state.isCutOff = true
                state.session = ChannelSession(granularity: granularity)
                if case .open = state.link { state.link = reopen == nil ? .closed : .reopening }
            }
            connectAgain()
        }
    }

    private var currentSocket: ChannelSocket? {
        state.update { state in
            if case .open(let socket) = state.link { socket } else { nil }
        }
    }

    /// Opens the line again, as often as it takes, unless it is closed for good.
    private func connectAgain() {
        guard let reopen else { return }
        var delay = Duration.zero
        while true {
            // Sleeps, unless it is closed meanwhile.
            let isClosed: Void? = state.wait(for: delay) { state in
                if case .closed = state.link { () } else { nil }
            }
            guard isClosed == nil else { return }
            let socket = try? reopen()
            isTorn.update { $0 = true }
            let isOver = state.update { state in
                if case .closed = state.link { return true }
                state.link = socket.map { .open($0) } ?? .deserted
                return socket != nil
            }
            if isOver { return }
            delay = min(max(delay * 2, .milliseconds(10)), .seconds(1))
        }
    }

    private func receive(by socket: ChannelSocket) {
        var decoder = ChannelDecoder()
        let before = skippedBytes
        while case let bytes = socket.receive(upTo: 4096), !bytes.isEmpty {
            var frames: [ChannelFrame] = []
            decoder.append(bytes.span) { frames.append($0) }
            // Who learns of a frame finds what was skipped before it counted.
            let skipped = before + decoder.skippedBytes
            state.update { $0.skippedBytes = skipped }
            for frame in frames { take(frame, by: socket) }
        }
    }

    private func take(_ frame: ChannelFrame, by socket: ChannelSocket) {
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
        guard let answer else { return }
        // A guest that leaves no room for it does without.
        _ = send(answer.bytes, by: socket, before: .now + ChannelLine.patience)
    }
}

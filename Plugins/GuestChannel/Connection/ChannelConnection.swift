public import Custody

/// A channel to one guest: its requests are answered, and commands can be given to it.
///
/// A thread of its own receives. It answers requests itself, one after the other, so that a guest that floods the channel
/// fills its own buffers and nothing else. A guest that reads nothing for a while, because it boots or its processors rest,
/// keeps its channel. The channel is closed when its owner lets go of it.
public final class ChannelConnection: Sendable {
    /// Who answers a guest's requests by itself: a controller, usually.
    public typealias Services = GuestRequestHandler & GuestQueryHandler & AnyObject

    private let line: ChannelLine

    /// Connects to a guest's socket: the `path` of the domain's `channel` or `serial` device of type `unix`. When the other end
    /// closes it, it is connected to again, as often as it takes.
    ///
    /// - Parameters:
    ///   - path: The socket's path.
    ///   - granularity: The unit of every change of ownership, which the guest is told.
    /// - Throws: `BackendError` with code `unavailable` where nobody listens there.
    public convenience init(path: String, granularity: PageSize) throws(BackendError) {
        try self.init(ChannelSocket(path: path), granularity) { () throws(BackendError) in
            try ChannelSocket(path: path)
        }
    }

    /// Takes over a connected stream socket.
    ///
    /// - Throws: `BackendError` where there is no thread to be had; the descriptor is closed then.
    public convenience init(descriptor: Int32, granularity: PageSize) throws(BackendError) {
        try self.init(ChannelSocket(adopting: descriptor), granularity)
    }

    private init(
        _ socket: ChannelSocket,
        _ granularity: PageSize,
        reopen: ChannelLine.Reopen? = nil
    ) throws(BackendError) {
        line = ChannelLine(socket, granularity: granularity, reopen: reopen)
        try line.start()
    }

    deinit { line.close() }

    /// Names who answers requests that the guest makes by itself, in place of who did. It is held weakly; without one the
    /// guest is told to ask again.
    ///
    /// The requests are answered on the channel's thread: whoever answers must not wait for the same guest's answer to a
    /// command.
    public func serve(_ services: (any Services)?) { line.serve(services) }

    /// What the guest takes, or `nil` before it has said hello.
    public var features: ChannelFeatures? { line.features }

    /// What has come in that was no frame, in bytes.
    public var skippedBytes: UInt64 { line.skippedBytes }

    /// Has the guest say hello, again and again until it does; ever more seldom, because it reads all of it when it begins to.
    ///
    /// - Throws: `BackendError` with code `guestFailed` where it does not within `patience`.
    @discardableResult
    public func greet(within patience: Duration) throws(BackendError) -> ChannelFeatures {
        let deadline = ContinuousClock.now + patience
        let isKnown = features != nil
        var interval = Duration.milliseconds(200)
        while true {
            let left = deadline - ContinuousClock.now
            do {
                _ = try perform(.greet, within: min(max(left, .zero), interval))
                if let features { return features }
            } catch {
                // It may have said so by itself.
                if !isKnown, let features { return features }
                guard error.code == .guestFailed, ContinuousClock.now < deadline, line.isOpen else { throw error }
            }
            interval = min(interval * 2, ChannelConnection.longestInterval)
        }
    }

    private static let longestInterval = Duration.seconds(2)

    /// Gives the guest a command and sleeps until it says what came of it. One command is given at a time.
    ///
    /// - Parameters:
    ///   - command: The command.
    ///   - patience: For how long the guest is waited for.
    ///   - handler: Who answers requests that the guest makes in the meantime, or `nil` for who does otherwise.
    /// - Throws: `BackendError` with code `guestFailed` where the guest is gone or does not answer,
    ///   `invalidArgument` for a command that is too long.
    public func perform(
        _ command: ChannelCommand,
        within patience: Duration,
        answeringTo handler: (any GuestRequestHandler)? = nil
    ) throws(BackendError) -> ChannelResult {
        try line.perform(command, within: patience, answeringTo: handler)
    }

    /// Closes the channel; commands fail from now on.
    public func close() { line.close() }
}

public import Custody

/// The micro guest's first serial line: how it is told, without a channel, what to do when a device is to be removed.
public final class MicroGuestConsole: Sendable {
    private let socket: ChannelSocket
    private let turn = Monitor(())

    /// Connects to the socket of the guest's first serial port. QEMU takes one connection at a time.
    ///
    /// - Throws: `BackendError` with code `unavailable` where nobody listens there.
    public init(path: String) throws(BackendError) { socket = try ChannelSocket(path: path) }

    /// Tells the guest what to do from now on when a device is to be removed, and sleeps until it has understood.
    ///
    /// - Throws: `BackendError` with code `guestFailed` where it is gone or does not say so within `patience`.
    public func answerRemovals(
        by removal: ChannelCommand.Removal,
        within patience: Duration = .seconds(10)
    ) throws(BackendError) {
        let letter = MicroGuestConsole.letter(of: removal)
        let deadline = ContinuousClock.now + patience
        try turn.update { _ throws(BackendError) in
            // What it said before is not an answer to this.
            while socket.isReadable(within: .zero) { _ = try receive() }
            guard socket.transmit([letter], within: patience) == 1 else { throw MicroGuestConsole.gone }
            while socket.isReadable(within: deadline - ContinuousClock.now) {
                if try receive().contains(letter & ~0x20) { return }
            }
            throw BackendError(.guestFailed, "the guest has not answered on its console for \(patience)")
        }
    }

    private func receive() throws(BackendError) -> [UInt8] {
        let said = socket.receive(upTo: 64)
        guard !said.isEmpty else { throw MicroGuestConsole.gone }
        return said
    }

    /// The letter that the guest takes; it says the same in upper case.
    private static func letter(of removal: ChannelCommand.Removal) -> UInt8 {
        switch removal {
        case .accept: UInt8(ascii: "a")
        case .refuse: UInt8(ascii: "r")
        case .ignore: UInt8(ascii: "i")
        }
    }

    private static let gone = BackendError(.guestFailed, "the guest's console is closed")
}

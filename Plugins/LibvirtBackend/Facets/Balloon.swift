#if Libvirt
public import Custody

/// Pressure on a guest to do with less memory: the virtio-balloon device of a domain.
///
/// It changes nobody's ownership. The guest's driver gives pages up where it can, and may take them again; nothing stops
/// it, and nothing tells that it does not mean to. One without a driver never does anything.
///
/// Every method blocks until libvirt has answered.
public final class Balloon: Sendable {
    /// What a balloon can do.
    public static let capabilities = FacetCapabilities.balloon

    /// The most that can be left to the guest, in bytes: all that it had when the balloon was found, but for elastic pools.
    /// Those are no memory of a balloon's (QEMU hw/virtio/virtio-balloon.c).
    public let maximum: UInt64

    private let domain: Domain
    private let connection: Connection
    private let asked = Locked<UInt64?>(nil)

    /// The balloon of a domain; `nil` where it has none.
    package static func find(
        in domain: borrowing Domain,
        on connection: borrowing Connection,
        in description: LiveDescription
    ) throws(BackendError) -> Balloon? {
        guard description.hasBalloon else { return nil }
        guard let all = description.root.first("memory")?.byteCount else {
            throw BackendError(.system, "the domain is described without memory")
        }
        let pools = description.memoryDevices("virtio-mem").compactMap { $0.device.first("target", "size")?.byteCount }
        let maximum = pools.reduce(all) { $0 - min($0, $1) }
        return Balloon(maximum, domain.share(), connection.share())
    }

    private init(_ maximum: UInt64, _ domain: consuming Domain, _ connection: consuming Connection) {
        self.maximum = maximum
        self.domain = domain
        self.connection = connection
    }

    /// Where it stands.
    public func state() throws(BackendError) -> BalloonState {
        let answer = try domain.ask("query-balloon", for: BalloonAnswer.self)
        return BalloonState(asked: asked.withLock { $0 }, actual: answer.actual)
    }

    /// Asks the guest to do with so much memory from now on, and does not wait. It takes the place of what was asked for
    /// before; asking for ``maximum`` takes the pressure off.
    ///
    /// - Parameter byteCount: A multiple of 4 KiB, more than none and at most ``maximum``.
    /// - Throws: `BackendError`; the guest may have been asked all the same, which only it can tell by doing so.
    public func ask(_ byteCount: UInt64) throws(BackendError) {
        guard byteCount > 0, byteCount <= maximum, byteCount % Balloon.capabilities.granularity == 0 else {
            throw BackendError(
                .invalidArgument,
                "a guest is left with multiples of 4 KiB up to \(ByteCount(maximum)), not \(ByteCount(byteCount))"
            )
        }
        try asked.withLock { asked throws(BackendError) in
            do throws(VirError) { try domain.setMemory(kibibytes: UInt(byteCount / 1024)) } catch {
                // What it was asked for last is not known any more; what was asked for before may not hold.
                asked = nil
                throw error.ofRunningDomain("the guest was not asked to do with \(ByteCount(byteCount))")
            }
            asked = byteCount
        }
    }

    /// Sleeps until the guest has what it was asked to do with, on a thread that may sleep.
    ///
    /// - Parameter patience: For how long at most. A guest may stop anywhere on the way, for ever.
    /// - Returns: where it stands.
    public func settle(within patience: Duration) throws(BackendError) -> BalloonState {
        let watch = try DomainWatch(domain, on: connection)
        let settled = try watch.wait(for: patience) { _ throws(BackendError) -> BalloonState? in
            let state = try self.state()
            return state.isSettled ? state : nil
        }
        if let settled { return settled }
        return try state()
    }
}

/// Where a balloon stands.
public struct BalloonState: Sendable, Hashable {
    /// What the guest was asked to do with, in bytes; `nil` where this process has not asked, or does not know whether it
    /// has.
    public let asked: UInt64?
    /// What it has now, in bytes, as its driver says.
    public let actual: UInt64

    /// Whether it has what it was asked to do with.
    public var isSettled: Bool { asked == nil || asked == actual }

    /// Who holds up what was asked for; nobody where it has been done.
    public var holder: Holder? {
        guard !isSettled, let asked else { return nil }
        let missing = ByteCount(max(asked, actual) - min(asked, actual))
        let purpose = actual > asked ? "has yet to give \(missing) up" : "has yet to take \(missing)"
        return Holder(device: "guest", queue: "balloon", purpose: purpose)
    }
}

/// The answer to `query-balloon` (QEMU qapi/machine.json).
private struct BalloonAnswer: Decodable {
    let actual: UInt64
}

#endif

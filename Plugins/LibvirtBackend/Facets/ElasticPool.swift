#if Libvirt
public import Custody
import Glibc

/// Memory that goes between host and guest by amount: a virtio-mem device of a domain.
///
/// Asking for less is a hand-over to the host without a range: which addresses the guest gives up is its choice. It may
/// take as long as it likes, and nobody is told that it does not mean to. Linux gives up memory that is in use only where
/// it can move it, and after a vain attempt tries again by itself after a while; asking once more for the same amount, a
/// nudge, has it try at once.
///
/// Every method blocks until libvirt has answered.
public final class ElasticPool: Sendable {
    /// What libvirt calls the device.
    public let alias: String
    /// What this pool can do.
    public let capabilities: FacetCapabilities
    /// The first guest-physical address that it can give memory at.
    public let address: GuestPhysicalAddress
    /// The most that it can give to the guest, in bytes.
    public let size: UInt64

    private let domain: Domain
    private let connection: Connection

    /// The pools of a domain, in the order of its description.
    package static func all(
        of domain: borrowing Domain,
        on connection: borrowing Connection,
        in description: LiveDescription
    ) throws(BackendError) -> [ElasticPool] {
        let devices = description.memoryDevices("virtio-mem")
        guard !devices.isEmpty else { return [] }
        // Where they are only QEMU tells: libvirt does from 9.4 on.
        let known = try domain.ask("query-memory-devices", for: [MemoryDevice].self)
        var pools: [ElasticPool] = []
        for (alias, device) in devices {
            guard let target = device.first("target"), let size = target.first("size")?.byteCount,
                let block = target.first("block")?.byteCount, block > 0
            else { throw BackendError(.system, "the memory device ‘\(alias)’ is described without size or block") }
            guard let address = known.first(where: { $0.data.id == alias })?.data.address else {
                throw BackendError(.system, "QEMU does not tell where the memory device ‘\(alias)’ is")
            }
            pools.append(ElasticPool(alias, address, size, block, domain.share(), connection.share()))
        }
        return pools
    }

    private init(
        _ alias: String,
        _ address: UInt64,
        _ size: UInt64,
        _ block: UInt64,
        _ domain: consuming Domain,
        _ connection: consuming Connection
    ) {
        self.alias = alias
        self.address = GuestPhysicalAddress(address)
        self.size = size
        self.domain = domain
        self.connection = connection
        var capabilities = FacetCapabilities.elasticPool
        capabilities.granularity = block
        self.capabilities = capabilities
    }

    /// Where it stands, by QEMU's own word.
    public func state() throws(BackendError) -> ElasticPoolState {
        let devices = try domain.ask("query-memory-devices", for: [MemoryDevice].self)
        guard let data = devices.first(where: { $0.data.id == alias })?.data, let requested = data.requested else {
            throw BackendError(.system, "QEMU has no memory device ‘\(alias)’ any more")
        }
        return ElasticPoolState(alias: alias, size: size, requested: requested, current: data.size)
    }

    /// Asks the guest to have so many bytes of the pool from now on, and does not wait.
    ///
    /// It takes the place of what was asked for before. Asking for the same again is a nudge.
    ///
    /// - Parameter byteCount: A multiple of the granularity, at most ``size``.
    /// - Returns: where it stands; the guest may have done it already.
    /// - Throws: `BackendError`; the guest was not asked then, unless the code is `lost`.
    @discardableResult
    public func request(_ byteCount: UInt64) throws(BackendError) -> ElasticPoolState {
        guard byteCount <= size, byteCount % capabilities.granularity == 0 else {
            throw BackendError(
                .invalidArgument,
                "‘\(alias)’ gives multiples of \(ByteCount(capabilities.granularity)) up to \(ByteCount(size)), "
                    + "not \(ByteCount(byteCount))"
            )
        }
        let description = try LiveDescription(of: domain)
        guard let device = description.memoryDevices("virtio-mem").first(where: { $0.alias == alias })?.device else {
            throw BackendError(.system, "the domain has no memory device ‘\(alias)’ any more")
        }
        let changed = device.changing(["target", "requested"]) {
            $0 = XMLElement("requested", ["unit": "KiB"], text: "\(byteCount / 1024)")
        }
        var failure: VirError?
        do throws(VirError) { try domain.update(changed) } catch { failure = error }
        // Whether QEMU has it, QEMU knows.
        let state: ElasticPoolState
        do throws(BackendError) { state = try self.state() } catch {
            throw BackendError(.lost, "what ‘\(alias)’ was asked for is not known", cause: error)
        }
        guard let failure else { return state }
        let wasRequested = device.first("target", "requested")?.byteCount
        guard state.requested == byteCount, wasRequested != byteCount else {
            throw failure.ofRunningDomain("‘\(alias)’ was not asked for \(ByteCount(byteCount))")
        }
        return state
    }

    /// Asks once more for what was asked for last, so that the guest tries again at once.
    @discardableResult
    public func nudge() throws(BackendError) -> ElasticPoolState { try request(state().requested) }

    /// Takes back what was asked for and has not happened: the guest keeps what it has now.
    ///
    /// - Returns: where it stands. It is not settled yet where the guest moved meanwhile; then it moves back.
    @discardableResult
    public func withdraw() throws(BackendError) -> ElasticPoolState {
        let state = try state()
        return state.isSettled ? state : try request(state.current)
    }

    /// Sleeps until the guest has what was asked for, on a thread that may sleep.
    ///
    /// - Parameters:
    ///   - patience: For how long at most. Afterwards the guest is still asked: ``withdraw()`` ends that.
    ///   - nudgeInterval: How often the guest is nudged meanwhile; never where it is `nil`.
    /// - Returns: where it stands; settled, or pending with who holds it up.
    public func settle(
        within patience: Duration,
        nudgingEvery nudgeInterval: Duration? = .seconds(1)
    ) throws(BackendError) -> ElasticPoolState {
        let watch = try DomainWatch(domain, on: connection)
        var lastNudge = ContinuousClock.now
        let settled = try watch.wait(for: patience) { _ throws(BackendError) -> ElasticPoolState? in
            let state = try self.state()
            if state.isSettled { return state }
            if let nudgeInterval, ContinuousClock.now - lastNudge >= nudgeInterval {
                lastNudge = .now
                let state = try self.request(state.requested)
                if state.isSettled { return state }
            }
            return nil
        }
        if let settled { return settled }
        return try state()
    }

    /// How many bytes of the host's memory are in the file behind the pool, by the file system's word; `nil` where it is
    /// behind no file of a name: anonymous memory, or a memfd.
    public func allocatedBytes() throws(BackendError) -> UInt64? {
        let devices = try domain.ask("query-memory-devices", for: [MemoryDevice].self)
        guard let backing = devices.first(where: { $0.data.id == alias })?.data.memdev else { return nil }
        let kind = try domain.ask("qom-get", ["path": backing, "property": "type"], for: String.self)
        guard kind == "memory-backend-file" else { return nil }
        let path = try domain.ask("qom-get", ["path": backing, "property": "mem-path"], for: String.self)
        var status = stat()
        do throws(HostError) { try domain.gate.host(.status, path) { unsafe Int(stat(path, &status)) } } catch {
            throw BackendError(.system, "the file behind ‘\(alias)’ cannot be looked at", cause: error)
        }
        return UInt64(status.st_blocks) * 512
    }
}

/// Where an elastic pool stands.
public struct ElasticPoolState: Sendable, Hashable {
    /// What libvirt calls the device.
    public let alias: String
    /// The most that the guest can have, in bytes.
    public let size: UInt64
    /// What the guest was asked to have, in bytes.
    public let requested: UInt64
    /// What it has, in bytes.
    public let current: UInt64

    /// Whether it has what it was asked to have.
    public var isSettled: Bool { requested == current }

    /// What of the pool is the host's, in bytes.
    public var hostBytes: UInt64 { size - min(current, size) }

    /// Who holds up what was asked for; nobody where it has been done.
    public var holder: Holder? {
        guard !isSettled else { return nil }
        let missing = ByteCount(max(requested, current) - min(requested, current))
        let purpose = current > requested ? "has yet to give \(missing) back" : "has yet to take \(missing)"
        return Holder(device: "guest", queue: alias, purpose: purpose)
    }
}

#endif

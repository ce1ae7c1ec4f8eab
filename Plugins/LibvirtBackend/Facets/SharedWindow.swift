#if Libvirt
public import Custody
import Synchronization

/// A file that a guest has in its address space beside its RAM: an `ivshmem-plain` device of a domain.
///
/// The guest maps it where it likes; contents are copied in and out. To have it back the guest is asked to let the device
/// go. It is back when the guest has, QEMU's event or the live description says so, **and** the kernel says that nobody
/// else has the file open or mapped: QEMU lets go of it a moment after it said that it has.
///
/// Every method blocks. One that changes something waits for those before it.
public final class SharedWindow: Sendable {
    /// Where a window is.
    public enum Place: String, Sendable, Hashable {
        /// Host and guest have it.
        case shared
        /// The guest does not have it any more; somebody still has the file open or mapped.
        case inTransit = "in-transit"
        /// The host alone has it.
        case host
    }

    /// How a wait for a window ended.
    public enum Ending: Sendable, Hashable {
        /// The host alone has it.
        case completed
        /// It is where it was, or on its way: who holds it up, the guest or processes of the host.
        case pending([Holder])
    }

    /// What a window can do.
    public static let capabilities = FacetCapabilities.sharedWindow

    /// The name of the file, and of the device's memory.
    public let name: String
    /// The size in bytes, a power of two.
    public let byteCount: UInt64

    private let backing: WindowBacking
    private let domain: Domain
    private let connection: Connection
    private let turn = Monitor(())

    /// What libvirt calls the device; the name is what it must not have twice.
    private var alias: String { "ua-window-\(name)" }

    private init(
        _ name: String,
        _ backing: consuming WindowBacking,
        _ domain: consuming Domain,
        _ connection: consuming Connection
    ) {
        self.name = name
        byteCount = backing.byteCount
        self.backing = backing
        self.domain = domain
        self.connection = connection
    }

    // MARK: Coming and going

    /// Makes a window of zeroes and gives it to the guest.
    ///
    /// - Parameters:
    ///   - name: Letters, digits, `.`, `-` and `_`; the first one is a letter or a digit. Nobody on the machine may have
    ///     a window of that name.
    ///   - byteCount: A power of two from 1 MiB on. QEMU 7.2 does not refuse another one: it ends.
    ///   - isSealable: Whether the contents can be fixed for good when it is back.
    /// - Throws: `BackendError`; there is no window then, unless the code is `lost`.
    package static func make(
        _ name: String,
        byteCount: UInt64,
        isSealable: Bool = false,
        for domain: borrowing Domain,
        on connection: borrowing Connection
    ) throws(BackendError) -> SharedWindow {
        try check(name, byteCount)
        try refuse(name, in: LiveDescription(of: domain))
        let backing = try WindowBacking(name: name, byteCount: byteCount, isSealable: isSealable, gate: domain.gate)
        let window = SharedWindow(name, backing, domain.share(), connection.share())
        do throws(BackendError) { try window.attach() } catch {
            // With its state unknown the guest may have it: its name is what it can be found by. A sealable one's is only
            // a link to what is closed now.
            guard error.code != .lost || isSealable else { throw error }
            do throws(BackendError) { try window.backing.removeName() } catch let second {
                throw BackendError(error.code, "\(error.message); \(second)", cause: error.cause)
            }
            throw error
        }
        return window
    }

    /// Finds a window that was made before, by this process or another one.
    ///
    /// - Throws: `BackendError` with code `unavailable` where there is none of that name, or the
    ///   process that made a sealable one is gone.
    package static func find(
        _ name: String,
        in domain: borrowing Domain,
        on connection: borrowing Connection
    ) throws(BackendError) -> SharedWindow {
        let description = try LiveDescription(of: domain)
        guard let device = description.windows.first(where: { $0["name"] == name }) else {
            throw BackendError(.unavailable, "the domain has no window ‘\(name)’")
        }
        let backing = try WindowBacking(existing: name, gate: domain.gate)
        guard device.first("alias")?["name"] == "ua-window-\(name)",
            device.first("size")?.byteCount == backing.byteCount
        else { throw BackendError(.unavailable, "the window ‘\(name)’ was not made by this package") }
        return SharedWindow(name, backing, domain.share(), connection.share())
    }

    /// Gives the window to the guest again. Its contents are scrubbed before.
    ///
    /// - Throws: `BackendError` with code `invalidArgument` where the host does not have it alone.
    public func share() throws(BackendError) {
        try turn.update { _ throws(BackendError) in
            guard try lookUp() == .host else {
                throw BackendError(.invalidArgument, "the window ‘\(name)’ is not the host's alone")
            }
            try backing.scrub()
            try attach()
        }
    }

    /// Asks the guest to let the window go, and does not wait.
    ///
    /// This cannot be withdrawn: a guest that ignores it for now may still do it later. Asking again is harmless.
    public func requestReturn() throws(BackendError) {
        try turn.update { _ throws(BackendError) in
            // QEMU is asked, not libvirt: where a device goes while its removal is refused, because it is under way already,
            // libvirt 9.0 reads the name of the one that is gone (virDomainAuditShmem), and may end this process by that.
            do throws(BackendError) { _ = try domain.ask("device_del", ["id": alias], for: Nothing.self) } catch {
                // A request that is under way already is one, and so is one that the guest has answered, which libvirt learns
                // a moment later; one that was lost on its way is seen by what follows.
                let isUnderWay = ["in the process of unplug", "DeviceNotFound"].contains { error.message.contains($0) }
                guard !isUnderWay, try isAttached() else { return }
                throw BackendError(
                    error.code,
                    "the guest was not asked for the window ‘\(name)’: \(error.message)",
                    cause: error.cause
                )
            }
        }
    }

    /// What QEMU answers a command that has no result with.
    private struct Nothing: Decodable {}

    /// Sleeps until the host alone has the window, on a thread that may sleep.
    ///
    /// - Parameter patience: For how long at most. Afterwards the guest is still asked.
    public func waitForReturn(within patience: Duration) throws(BackendError) -> Ending {
        let watch = try DomainWatch(domain, on: connection)
        var place = Place.shared
        let isBack: Bool? = try watch.wait(for: patience) { _ throws(BackendError) in
            place = try self.place()
            return place == .host ? true : nil
        }
        guard isBack == nil else { return .completed }
        return .pending(try turn.update { _ throws(BackendError) in try holders(at: place) })
    }

    /// Who holds a window up that is at `place`.
    private func holders(at place: Place) throws(BackendError) -> [Holder] {
        guard place != .shared else {
            return [Holder(device: "guest", queue: alias, purpose: "has the window mapped")]
        }
        let processes = try backing.holders()
        guard processes.isEmpty else { return processes }
        return [Holder(device: "host", queue: name, purpose: "has the file in a process that is not to be seen")]
    }

    /// Where the window is, by libvirt's and the kernel's word.
    public func place() throws(BackendError) -> Place { try turn.update { _ throws(BackendError) in try lookUp() } }

    /// Takes the window's name away, so that its memory goes back to the host with the last who has it.
    ///
    /// - Throws: `BackendError` with code `invalidArgument` while the guest has it.
    public func remove() throws(BackendError) {
        try turn.update { _ throws(BackendError) in
            guard try lookUp() != .shared else {
                throw BackendError(.invalidArgument, "the guest has the window ‘\(name)’")
            }
            try backing.removeName()
        }
    }

    // MARK: Contents

    /// Copies bytes out, whoever has the window.
    public func read(_ count: Int, at offset: UInt64) throws(BackendError) -> [UInt8] {
        try checkRange(offset, count)
        return try backing.read(count, at: offset)
    }

    /// Copies bytes in, whoever has the window.
    public func write(_ bytes: [UInt8], at offset: UInt64) throws(BackendError) {
        try checkRange(offset, bytes.count)
        try backing.write(bytes, at: offset)
    }

    /// How many bytes of the host's memory are in it.
    public func allocatedBytes() throws(BackendError) -> UInt64 { try backing.allocatedBytes() }

    /// Fixes the contents of a sealable window for good, by the kernel: neither side can write from then on.
    ///
    /// - Returns: `false` where somebody may still write: the window is not back.
    /// - Throws: `BackendError` with code `unsupported` for a window that is not sealable.
    public func seal() throws(BackendError) -> Bool {
        guard backing.isSealable else { throw BackendError(.unsupported, "the window ‘\(name)’ is not sealable") }
        return try turn.update { _ throws(BackendError) in try backing.seal() }
    }

    // MARK: Inside

    private func attach() throws(BackendError) {
        let device = XMLElement(
            "shmem",
            ["name": name],
            [
                XMLElement("model", ["type": "ivshmem-plain"]),
                XMLElement("size", ["unit": "M"], text: "\(byteCount >> 20)"),
                XMLElement("alias", ["name": alias]),
            ]
        )
        do throws(VirError) { try domain.attach(device) } catch {
            // Whether the guest has it, the live description knows.
            let isThere: Bool
            do throws(BackendError) { isThere = try lookUp() == .shared } catch let second {
                throw BackendError(.lost, "who has the window ‘\(name)’ is not known: \(second)", cause: error)
            }
            guard isThere else { throw error.ofRunningDomain("the guest was not given the window ‘\(name)’") }
        }
    }

    private func lookUp() throws(BackendError) -> Place {
        guard try !isAttached() else { return .shared }
        return try backing.isOnlyOurs() ? .host : .inTransit
    }

    /// Whether the guest has it. One that has ended has nothing.
    private func isAttached() throws(BackendError) -> Bool {
        do throws(BackendError) {
            return try LiveDescription(of: domain).windows.contains { $0["name"] == name }
        } catch {
            guard error.code == .lost, (try? domain.hasEnded()) == true else { throw error }
            return false
        }
    }

    private func checkRange(_ offset: UInt64, _ count: Int) throws(BackendError) {
        guard count >= 0, offset <= byteCount, UInt64(count) <= byteCount - offset else {
            throw BackendError(.invalidArgument, "the window ‘\(name)’ has \(ByteCount(byteCount))")
        }
    }

    private static func check(_ name: String, _ byteCount: UInt64) throws(BackendError) {
        let isPlain = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
        guard isPlain, let first = name.utf8.first, first != UInt8(ascii: "."), first != UInt8(ascii: "-"),
            name.utf8.count <= 64
        else { throw BackendError(.invalidArgument, "‘\(name)’ cannot be a window's name: letters, digits, ‘.-_’") }
        guard byteCount >= capabilities.granularity, byteCount.nonzeroBitCount == 1, byteCount <= 1 << 40 else {
            throw BackendError(
                .invalidArgument,
                "a window has a power of two from 1 MiB to 1 TiB, not \(ByteCount(byteCount))"
            )
        }
    }

    private static func refuse(_ name: String, in description: LiveDescription) throws(BackendError) {
        guard !description.windows.contains(where: { $0["name"] == name }) else {
            throw BackendError(.invalidArgument, "the guest has a window ‘\(name)’ already")
        }
    }
}

extension LiveDescription {
    /// The devices of shared windows.
    package var windows: [XMLElement] { devices("shmem") }
}

#endif

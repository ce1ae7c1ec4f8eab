#if Libvirt
import CLibvirt
public import Custody
public import CustodyOptions
import Glibc

/// The back end ‘libvirt’, for a registry: domains that libvirt manages, whose memory comes and goes by modules.
///
/// Compiled in with the package trait `Libvirt`, which needs the headers of libvirt. The keys of its section are those of
/// ``LibvirtOptions``.
public struct LibvirtProvider: BackendProvider {
    /// The name that a configuration uses.
    public let name = "libvirt"
    /// What it is.
    public let summary =
        "a domain that libvirt manages: memory modules that come, go, and are shared or private by page"

    /// The provider.
    public init() {}

    /// Looks for the driver in this process, and for the daemons of this user and of the machine. Nothing is started.
    public func probe() -> [BackendProbe] {
        [
            probe("embed", unavailable: LibvirtProvider.obstacleToEmbedding, LibvirtProvider.embeddedRemarks),
            probe(
                "session",
                unavailable: LibvirtProvider.obstacleToSession,
                ["the daemon of this user: qemu:///session", LibvirtProvider.daemonRemark]
            ),
            probeSystem(),
        ]
    }

    /// Has libvirt print nothing by itself: errors, which are thrown as well, and what a driver in this process logs.
    ///
    /// Both belong to the program: this replaces its handler of libvirt's errors (`virSetErrorFunc`), and sets
    /// `LIBVIRT_LOG_OUTPUTS` where it is not set. Call it once, before there are other threads and before the first back end.
    public static func silenceLibrary() { EventLoop.silence() }

    /// What its section of a configuration may be.
    public var options: Format<LibvirtOptions> { LibvirtOptions.format }

    /// A daemon that listens is asked what a domain could have there.
    private func probeSystem() -> BackendProbe {
        let uri = "qemu:///system"
        let remarks = ["the daemon of this machine: \(uri)", LibvirtProvider.daemonRemark]
        if let obstacle = LibvirtProvider.obstacleToSystem { return probe("system", unavailable: obstacle, remarks) }
        do {
            let support = try DomainSupport(of: Connection.open(uri))
            return probe("system", unavailable: nil, remarks + support.remarks, support.maximumProcessors)
        } catch {
            let obstacle = BackendError(.unavailable, "the daemon does not say what a domain could have", cause: error)
            return probe("system", unavailable: obstacle, remarks)
        }
    }

    /// Makes a domain, or finds one.
    public func makeBackend(
        for guest: GuestConfiguration,
        options: LibvirtOptions
    ) throws(BackendCreationError) -> any MemoryBackend {
        if let (pool, flaw) = ElasticPoolConfiguration.overlap(of: options.elasticPools, beside: guest.layout.regions) {
            guard let place = pool.location else { throw .backend(BackendError(.invalidArgument, flaw)) }
            throw .configuration(ConfigurationError(flaw, at: place))
        }
        do throws(BackendError) { return try LibvirtBackend(guest, options: options) } catch { throw .backend(error) }
    }

    /// What the machine `pc` of QEMU can have (hw/i386/pc.c), where libvirt has not been asked.
    private static let processors = 255

    private func probe(
        _ mode: String,
        unavailable: BackendError?,
        _ remarks: [String],
        _ processors: Int = LibvirtProvider.processors
    ) -> BackendProbe {
        BackendProbe(
            backend: name,
            mode: mode,
            unavailable: unavailable,
            capabilities: .libvirt(
                granularity: .base,
                processors: processors,
                unseen: (try? UnseenProcesses.here(OpenGate())) ?? Set(UnseenProcesses.allCases)
            ),
            remarks: remarks
        )
    }

    // MARK: What is there

    private static var embeddedRemarks: [String] {
        [
            "the driver runs in this process, by \(libraryVersion): no daemon",
            geteuid() == 0
                ? "other processes are kept from opening private memory by fanotify(7)"
                : "other processes are kept from opening private memory by its file's permissions, which do not stop root",
            "a guest that has been asked for a module cannot be told that it is not wanted any more",
        ] + memoryRemarks + unseenRemarks
            + FacetCapabilities.all.map { "a domain may have a facet beside its modules, \($0)" }
    }

    private static let daemonRemark =
        "its memory files are where its memory_backing_dir is, by default on a disk: domains only where that is on a file system in "
        + "memory, or with ‘accept-disk: true’"

    private static var memoryRemarks: [String] {
        let memory = LibvirtOptions.defaultMemory
        let folder =
            isThere(memory) ? memory : String(memory.prefix(upTo: memory.lastIndex(of: "/") ?? memory.endIndex))
        do throws(BackendError) {
            try MemoryFolders.checkFileSystem(of: folder, acceptingDisk: false)
            return []
        } catch { return ["no domain unless another directory is named: \(error.message)"] }
    }

    private static var unseenRemarks: [String] {
        do throws(HostError) {
            let kinds = try UnseenProcesses.here(OpenGate())
            let others = try UnseenProcesses.standingInTheWay(accepting: kinds, OpenGate())
            return kinds.sorted { $0.rawValue < $1.rawValue }.map {
                "private memory only with ‘accept-unseen: [\($0.rawValue)]’: \($0) cannot be looked into"
            }
                + (others.isEmpty
                    ? []
                    : [
                        "private memory waits for the end of \(FileHolder.names(of: others)), which cannot be looked into "
                            + "(\(others[0].obstacle ?? "")), unless ‘accept-unseen: [\(UnseenProcesses.protected.rawValue)]’"
                    ])
        } catch {
            return ["no domain: which processes this one may look into cannot be found out: \(error)"]
        }
    }

    private static var obstacleToEmbedding: BackendError? {
        let driver = "libvirt_driver_qemu.so"
        let folders = ["/usr/lib/\(machine)-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"]
        guard folders.contains(where: { isThere("\($0)/libvirt/connection-driver/\(driver)") }) else {
            return BackendError(.unavailable, "libvirt's driver for QEMU is not installed: \(driver)")
        }
        return obstacleToEmulation ?? EmbeddedRoot.obstacle()
    }

    private static var obstacleToSession: BackendError? {
        guard geteuid() != 0 else {
            return BackendError(.unavailable, "root has no session: qemu:///system is its daemon")
        }
        let folder = unsafe getenv("XDG_RUNTIME_DIR").map { unsafe String(cString: $0) } ?? "/run/user/\(geteuid())"
        guard isThere("\(folder)/libvirt/libvirt-sock") || isThere("/usr/sbin/libvirtd") else {
            return BackendError(.unavailable, "no daemon listens below \(folder)/libvirt, and none can be started")
        }
        return obstacleToEmulation
    }

    private static var obstacleToSystem: BackendError? {
        let sockets = ["/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"]
        guard let socket = sockets.first(where: isThere) else {
            return BackendError(.unavailable, "no daemon listens at \(sockets.joined(separator: " or "))")
        }
        guard unsafe access(socket, W_OK) == 0 else {
            return BackendError(.unavailable, "this user may not connect to \(socket)")
        }
        return obstacleToEmulation
    }

    private static var obstacleToEmulation: BackendError? {
        let emulator = DomainConfiguration.defaultEmulator
        return isThere(emulator) ? nil : BackendError(.unavailable, "there is no \(emulator)")
    }

    private static func isThere(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

    #if arch(arm64)
    private static let machine = "aarch64"
    #else
    private static let machine = "x86_64"
    #endif

    private static var libraryVersion: String {
        var version: UInt = 0
        guard unsafe virGetVersion(&version, nil, nil) == 0 else { return "a libvirt that does not tell its version" }
        return "libvirt \(version / 1_000_000).\(version / 1000 % 1000).\(version % 1000)"
    }
}
#endif

#if Libvirt
public import Custody
import Glibc

/// What a configuration says of this back end.
public struct LibvirtOptions: Sendable {
    /// What runs in a domain that this back end makes.
    public enum Guest: String, Sendable, Hashable, CaseIterable {
        /// The micro guest, which does as it is told.
        case micro
        /// A Linux kernel with an initial file system.
        case linux
    }

    /// The key `uri`: where libvirt is; `nil` for the driver in this process, with its root in ``root``.
    public var uri: String?
    /// The key `root`: the directory of that driver, and of the sockets and the firmware of guests.
    public var root: String
    /// The key `memory`: the directory of the memory files, by default one of a file system in memory. A daemon has one
    /// of its own.
    public var memory: String
    /// The key `domain`: the name of the domain that is made. One that an earlier process of this package made and left is
    /// gone on with.
    public var domain: String
    /// The key `adopt`: the name or UUID of a domain that is there already. It is described and used, and not rewritten.
    public var adopt: String?
    /// The key `guest`: what runs in a domain that is made.
    public var guest: Guest
    /// The key `kernel`: the image, for ``Guest/linux``.
    public var kernel: String?
    /// The key `initrd`: its initial file system.
    public var initrd: String?
    /// The key `command-line`: what the kernel is told.
    public var commandLine: String?
    /// The key `channel`: the socket of the guest channel of a domain that is adopted.
    public var channel: String?
    /// The key `accelerator`: whether QEMU itself runs the guest's instructions, or KVM.
    public var usesKVM: Bool
    /// The key `base-memory`: the memory below 4 GiB that the guest always has.
    public var baseMemory: ByteCount
    /// The key `initial`: whether the modules begin with the host, or in the guest and shared.
    public var initial: Ownership
    /// The key `overcommit`: whether a guest may be given memory that there may not be when it is touched. Where not, all
    /// of a module is taken from the system before the guest gets it.
    public var overcommits: Bool

    /// The defaults: the micro guest in a domain ‘custody’ of the driver in this process.
    public init() {
        let user = geteuid()
        root = user == 0 ? "/run/custody" : "/tmp/custody-\(user)"
        memory = "/dev/shm/custody-\(user)"
        domain = "custody"
        guest = .micro
        usesKVM = false
        baseMemory = ByteCount(16 << 20)
        initial = .host
        overcommits = false
    }

    /// Reads a section to its end.
    ///
    /// - Throws: `ConfigurationError`.
    public init(_ given: ConfigurationSection) throws(ConfigurationError) {
        self.init()
        var section = given
        uri = try section.string("uri")
        root = try section.string("root") ?? root
        memory = try section.string("memory") ?? memory
        domain = try section.string("domain") ?? domain
        adopt = try section.string("adopt")
        guest = try section.choice("guest", among: Guest.allCases.map { ($0.rawValue, $0) }) ?? guest
        kernel = try section.string("kernel")
        initrd = try section.string("initrd")
        commandLine = try section.string("command-line")
        channel = try section.string("channel")
        usesKVM = try section.choice("accelerator", of: ["emulated": false, "kvm": true]) ?? usesKVM
        baseMemory = try section.byteCount("base-memory") ?? baseMemory
        initial = try section.choice("initial", of: ["host": .host, "shared": .shared]) ?? initial
        overcommits = try section.boolean("overcommit") ?? overcommits
        try section.finish()
        guard guest != .linux || kernel != nil || adopt != nil else { throw given.missing("kernel") }
        let mebibyte: UInt64 = 1 << 20
        guard baseMemory.rawValue.isMultiple(of: mebibyte),
            (16 * mebibyte...2048 * mebibyte).contains(baseMemory.rawValue)
        else {
            throw ConfigurationError(
                "‘base-memory’ must be a multiple of 1 MiB from 16 MiB to 2 GiB",
                at: given.location
            )
        }
    }
}

#endif

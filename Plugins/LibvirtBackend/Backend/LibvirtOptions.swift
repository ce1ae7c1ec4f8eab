#if Libvirt
public import Custody
public import CustodyOptions
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
    /// Who answers what a daemon wants to know when it is connected to, as names and secrets do not stand in files: a program
    /// sets it. `nil` as an answer gives up. Where nobody is set, a daemon that asks is refused by libvirt.
    public var authenticate: (@Sendable (ConnectionCredential) -> String?)?
    /// The key `root`: the directory of that driver, and of the sockets and the firmware of guests.
    public var root: String
    /// The key `memory`: the directory of the memory files; `nil` for ``defaultMemory``, or for the one that the user's own
    /// configuration of the driver names. A daemon has one of its own.
    public var memory: String?
    /// The key `domain`: the name of the domain that is made. One that an earlier process of this package made and left is
    /// gone on with.
    public var domain: String
    /// The key `adopt`: the name or UUID of a domain that is there already. It is described and used, and not rewritten.
    public var adopt: String?
    /// The key `guest`: what runs in a domain that is made.
    public var guest: Guest
    /// The key `kernel`: the image, for ``Guest/linux``. In a configuration file the name is relative to the file.
    public var kernel: String?
    /// The key `initrd`: its initial file system; relative to the file, too.
    public var initrd: String?
    /// The key `command-line`: what the kernel is told.
    public var commandLine: String?
    /// The key `channel`: the socket of the guest channel of a domain that is adopted.
    public var channel: String?
    /// The key `accelerator`: whether QEMU itself runs the guest's instructions, or KVM.
    public var usesKVM: Bool
    /// The key `base-memory`: the memory below 4 GiB that the guest always has.
    public var baseMemory: ByteCount
    /// The key `numa-cells`: how many NUMA cells a domain that is made has. Its base memory and its processors are spread over
    /// them.
    public var numaCells: Int
    /// The key `module-cells`: the NUMA cell of each region of the guest's memory, in their order; 0 for those that are not named.
    public var moduleCells: [Int]
    /// The key `initial`: whether the modules begin with the host, or in the guest and shared.
    public var initial: Ownership
    /// The key `overcommit`: whether a guest may be given memory that there may not be when it is touched. Where not, all
    /// of a module is taken from the system before the guest gets it.
    public var overcommits: Bool
    /// The key `elastic-pools`: memory of a domain that is made that comes and goes by amount, beside its modules.
    public var elasticPools: [ElasticPoolConfiguration]
    /// The key `balloon`: whether a domain that is made has one.
    public var hasBalloon: Bool
    /// The key `accept-unseen`: the kinds of processes that are taken not to have a guest's memory although this process cannot
    /// look into them. Where there are others of them, no page becomes private.
    public var acceptedUnseenProcesses: Set<UnseenProcesses>
    /// The key `accept-disk`: whether memory files may be on a file system that is not in memory, so that the kernel writes what
    /// guests have there to a disk.
    public var acceptsDisk: Bool
    /// The key `fresh`: whether a domain of this name that an earlier process left is ended, with what is in its memory, and
    /// another one is made.
    public var startsFresh: Bool
    /// The key `launch-security`: how the processor is to protect a domain that is made from its host.
    public var launchSecurity: LaunchSecurity?

    /// The defaults: the micro guest in a domain ‘custody’ of the driver in this process.
    public init() {
        let user = geteuid()
        root = user == 0 ? "/run/custody" : "/tmp/custody-\(user)"
        domain = "custody"
        guest = .micro
        usesKVM = false
        baseMemory = LibvirtOptions.defaultBaseMemory
        numaCells = 1
        moduleCells = []
        initial = .host
        overcommits = false
        elasticPools = []
        hasBalloon = false
        acceptedUnseenProcesses = []
        acceptsDisk = false
        startsFresh = false
    }

    /// Where the memory files of the driver in this process are unless another directory is named.
    public static var defaultMemory: String { "/dev/shm/custody-\(geteuid())" }

    /// Reads a section to its end.
    ///
    /// - Throws: `ConfigurationError`.
    public init(_ section: ConfigurationSection) throws(ConfigurationError) {
        self = try LibvirtOptions.format.read(section.node, Site(key: "libvirt")).value
    }

    /// What the section may be.
    static let format = Format<LibvirtOptions>.settings(
        of: { LibvirtOptions() },
        [
            .setting("uri", \.uri, localURI, "Where libvirt is; its driver in this process unless named."),
            .setting("root", \.root, directory("root"), "The directory of that driver, and of sockets and firmware."),
            .setting(
                "memory",
                \.memory,
                directory("memory"),
                "The directory of the memory files of that driver; a daemon has one of its own."
            ),
            .setting("domain", \.domain, .text, "The name of the domain that is made or gone on with."),
            .setting("adopt", \.adopt, .text, "The name or UUID of a domain that is there already."),
            .setting("guest", \.guest, .word(), "What runs in a domain that is made; micro unless named."),
            .setting("kernel", \.kernel, fileName, "The image, for linux; a name is relative to this file."),
            .setting("initrd", \.initrd, fileName, "Its initial file system; a name is relative to this file."),
            .setting("command-line", \.commandLine, .text, "What the kernel is told."),
            .setting("channel", \.channel, .text, "The socket of the guest channel of a domain that is adopted."),
            .setting(
                "accelerator",
                \.usesKVM,
                .word([("emulated", false), ("kvm", true)]),
                "Who runs the guest's instructions: QEMU itself unless named."
            ),
            .setting(
                "base-memory",
                \.baseMemory,
                baseMemory,
                "What the guest has below 4 GiB: a multiple of 1 MiB; 16MiB unless named."
            ),
            .setting(
                "numa-cells",
                \.numaCells,
                .integer(in: 1...LibvirtOptions.mostCells),
                "The NUMA cells of a domain that is made, which base memory and processors are spread over; 1 unless named."
            ),
            .setting(
                "module-cells",
                \.moduleCells,
                .list(of: .integer(in: 0...LibvirtOptions.mostCells - 1)),
                "The NUMA cell of each region of the guest's memory, in their order; 0 for those that are not named."
            ),
            .setting(
                "initial",
                \.initial,
                .word([("host", .host), ("shared", .shared)]),
                "Whose the modules are to begin with; the host's unless named."
            ),
            .setting("overcommit", \.overcommits, .boolean, "Whether memory is taken at the first touch only."),
            .setting(
                "elastic-pools",
                \.elasticPools,
                .list(of: ElasticPoolConfiguration.format),
                "Memory of a domain that is made that comes and goes by amount, beside its modules: virtio-mem."
            ),
            .setting(
                "balloon",
                \.hasBalloon,
                .boolean,
                "Whether a domain that is made has a balloon: virtio-balloon; none unless named."
            ),
            .setting(
                "accept-unseen",
                \.acceptedUnseenProcesses,
                Format<[UnseenProcesses]>.list(of: .word()).map { (kinds, _) throws(ConfigurationError) in Set(kinds) },
                "Processes that are taken not to have the memory although they cannot be looked into; none unless named."
            ),
            .setting(
                "accept-disk",
                \.acceptsDisk,
                .boolean,
                "Whether memory files may be on a file system that is not in memory, and private pages reach a disk; no unless named."
            ),
            .setting(
                "fresh",
                \.startsFresh,
                .boolean,
                "Whether a domain of this name that an earlier process left is ended and made anew, rather than gone on with."
            ),
            .setting(
                "launch-security",
                \.launchSecurity,
                LaunchSecurity.format,
                "How the processor is to protect a domain that is made from its host: one kind."
            ),
        ]
    )
    .map { (options, location) throws(ConfigurationError) in
        if let flaw = options.flawOfName ?? options.vainKey { throw ConfigurationError(flaw, at: location) }
        guard options.elasticPools.count <= LibvirtBackend.maximumModules else {
            let first = options.elasticPools[LibvirtBackend.maximumModules]
            let text = "a domain has room for \(LibvirtBackend.maximumModules) modules and pools"
            throw ConfigurationError(text, at: first.location ?? location)
        }
        if let (pool, flaw) = ElasticPoolConfiguration.overlap(of: options.elasticPools) {
            throw ConfigurationError(flaw, at: pool.location ?? location)
        }
        guard options.guest != .linux || options.kernel != nil else {
            throw ConfigurationSection(at: location).missing("kernel")
        }
        return options
    }

    private static let defaultBaseMemory = ByteCount(16 << 20)

    /// What keeps a domain that is made from having its name; `nil` for nothing.
    var flawOfName: String? {
        guard adopt == nil else { return nil }
        if domain.isEmpty || domain.unicodeScalars.contains(where: { $0 == "/" || $0.value < 0x20 || $0.value == 0x7f })
        {
            return "the name of a domain (‘domain’) must have no slashes and no control characters, and not be empty"
        }
        guard domain.utf8.count > LibvirtOptions.longestName else { return nil }
        return
            "the name of a domain (‘domain’) has at most \(LibvirtOptions.longestName) bytes: sockets have it in their paths"
    }

    /// The longest name of a domain that is made: with the longest root it fits into the address of a socket, which has room for
    /// 107 bytes (`sockaddr_un`, unix(7)).
    static let longestName = 48

    /// What is said in vain, because something else that is said leaves no use for it; `nil` for nothing.
    var vainKey: String? {
        func first(_ keys: KeyValuePairs<String, Bool>) -> String? { keys.first { $0.value }?.key }
        let ofLinux: KeyValuePairs = [
            "kernel": kernel != nil, "initrd": initrd != nil, "command-line": commandLine != nil,
        ]
        let ofMade: KeyValuePairs = [
            "launch-security": launchSecurity != nil, "elastic-pools": !elasticPools.isEmpty, "balloon": hasBalloon,
            "fresh": startsFresh, "initial": initial != .host, "accelerator": usesKVM,
            "base-memory": baseMemory != LibvirtOptions.defaultBaseMemory, "numa-cells": numaCells != 1,
        ]
        if adopt != nil, let key = first(ofMade) ?? first(ofLinux) ?? (guest == .linux ? "guest" : nil) {
            return "‘\(key)’ is for a domain that is made, and ‘adopt’ names one that is there"
        }
        if adopt == nil, channel != nil {
            return "‘channel’ is for a domain that is adopted (‘adopt’): one that is made has its own below ‘root’"
        }
        if guest == .micro, let key = first(ofLinux) { return "‘\(key)’ is for ‘guest: linux’" }
        if uri != nil, memory != nil {
            return
                "‘memory’ is for the driver in this process, and ‘uri’ names a daemon: that has its memory files where "
                + "memory_backing_dir in its qemu.conf says"
        }
        return nil
    }

    /// QEMU has at most 128 (include/sysemu/numa.h), and base memory from 16 MiB on has one for each.
    private static let mostCells = 16

    /// The NUMA cell of the region of a number.
    func cell(ofModule number: Int) -> Int { moduleCells.indices.contains(number) ? moduleCells[number] : 0 }

    private static let baseMemory = Format<ByteCount>.size.map { (size, location) throws(ConfigurationError) in
        let mebibyte: UInt64 = 1 << 20
        guard size.rawValue.isMultiple(of: mebibyte), (16 * mebibyte...2048 * mebibyte).contains(size.rawValue) else {
            throw ConfigurationError("‘base-memory’ must be a multiple of 1 MiB from 16 MiB to 2 GiB", at: location)
        }
        return size
    }

    private static let localURI = Format<String>.text.annotated(["pattern": .string(LibvirtURI.pattern)]).map {
        (uri, location) throws(ConfigurationError) in
        if let flaw = LibvirtURI.flaw(in: uri) { throw ConfigurationError("‘uri’ \(flaw)", at: location) }
        return uri
    }

    private static let fileName = Format<String>.text.map { (name, location) throws(ConfigurationError) in
        path(of: name, in: location.file)
    }

    /// The whole path of a file that a configuration file names: libvirt and QEMU have working directories of their own.
    private static func path(of name: String, in file: String) -> String {
        let folder = file.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        let path = name.hasPrefix("/") || folder.isEmpty ? name : folder + "/" + name
        guard !path.hasPrefix("/") else { return path }
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        guard unsafe getcwd(&buffer, buffer.count) != nil else { return path }
        return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self) + "/" + path
    }

    /// A directory that the configuration of libvirt's driver can name.
    private static func directory(_ key: String) -> Format<String> {
        let pattern = "^/[^\"\\u0000-\\u001f\\u007f]*$"
        return .text.annotated(["pattern": .string(pattern)]).map { (path, location) throws(ConfigurationError) in
            if let flaw = EmbeddedRoot.flaw(in: path) { throw ConfigurationError("‘\(key)’ \(flaw)", at: location) }
            return path
        }
    }
}

#endif

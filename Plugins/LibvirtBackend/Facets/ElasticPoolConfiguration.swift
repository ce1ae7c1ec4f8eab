#if Libvirt
public import Custody
import CustodyOptions

/// An elastic pool of a domain that is made: a virtio-mem device, with libvirt's names for what it has.
public struct ElasticPoolConfiguration: Sendable, Hashable {
    /// Where the guest can have its memory, beside all modules.
    public let range: PageRange
    /// What comes and goes at once, in bytes.
    public let block: ByteCount
    /// What the guest is asked to have when it starts, in bytes. Later that is ``ElasticPool/request(_:)``'s to say.
    public let requested: ByteCount
    /// Where a configuration file names it.
    let location: SourceLocation?

    /// The smallest block: what Linux calls a transparent huge page, below which libvirt makes none.
    public static let smallestBlock = ByteCount(2 << 20)

    /// A pool.
    ///
    /// - Parameters:
    ///   - range: from 4 GiB to 512 GiB, beginning and ending at a multiple of `block`.
    ///   - block: a power of two from 2 MiB on.
    ///   - requested: a multiple of `block`, at most all of it.
    /// - Throws: `BackendError` with the code `invalidArgument`.
    public init(
        _ range: PageRange,
        block: ByteCount = smallestBlock,
        requested: ByteCount = ByteCount(0)
    ) throws(BackendError) {
        do throws(Flaw) { try self.init(range, block, requested, at: nil) } catch {
            throw BackendError(.invalidArgument, error.text, range: range)
        }
    }

    private init(
        _ range: PageRange,
        _ block: ByteCount,
        _ requested: ByteCount,
        at location: SourceLocation?
    ) throws(Flaw) {
        let unit = block.rawValue
        guard block >= Self.smallestBlock, unit.nonzeroBitCount == 1 else {
            throw Flaw("‘block’ must be a power of two from \(Self.smallestBlock) on, not \(block)")
        }
        guard LibvirtBackend.hasRoom(for: range), range.address.rawValue.isMultiple(of: unit),
            range.byteCount.isMultiple(of: unit)
        else {
            throw Flaw("a pool begins and ends at a multiple of its block, \(block), between 4 GiB and 512 GiB")
        }
        guard requested.rawValue <= range.byteCount, requested.rawValue.isMultiple(of: unit) else {
            let size = ByteCount(range.byteCount)
            throw Flaw("‘requested’ must be a multiple of the block, \(block), up to \(size), not \(requested)")
        }
        self.range = range
        self.block = block
        self.requested = requested
        self.location = location
    }

    /// The first of some pools that is where something else is, and what is wrong with it.
    static func overlap(
        of pools: [ElasticPoolConfiguration],
        beside regions: [PageRange] = []
    ) -> (pool: ElasticPoolConfiguration, flaw: String)? {
        for (index, pool) in pools.enumerated() {
            if let region = regions.first(where: pool.range.overlaps) {
                return (pool, "the pool \(pool.range) overlaps the memory module \(region)")
            }
            if let other = pools[..<index].first(where: { $0.range.overlaps(pool.range) }) {
                return (pool, "the pool \(pool.range) overlaps the pool \(other.range)")
            }
        }
        return nil
    }

    /// Whether two are the same pool, wherever they are named.
    public static func == (one: Self, other: Self) -> Bool {
        (one.range, one.block, one.requested) == (other.range, other.block, other.requested)
    }

    /// Hashes what makes a pool what it is.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(range)
        hasher.combine(block)
        hasher.combine(requested)
    }

    /// What is wrong with a pool.
    private struct Flaw: Error {
        let text: String

        init(_ text: String) { self.text = text }
    }
}

extension ElasticPoolConfiguration {
    /// What an item of a key `elastic-pools` may be.
    static let format = Format<ElasticPoolConfiguration>.mapping(
        .range,
        .defaulting("block", .size, to: "2MiB", "What comes and goes at once: a power of two from 2 MiB on."),
        .defaulting("requested", .size, to: "0", "What the guest is asked to have when it starts, in blocks."),
        .location
    ) { (range, block, requested, location) throws(ConfigurationError) in
        do throws(Flaw) {
            return try ElasticPoolConfiguration(range, block, requested, at: location)
        } catch { throw ConfigurationError(error.text, at: location) }
    }
}

// As libvirt describes it.
extension ElasticPoolConfiguration {
    /// What libvirt calls the pool of a number.
    static func alias(_ number: Int) -> String { "ua-custody-pool-\(number)" }

    /// The device.
    func element(_ number: Int) -> XMLElement {
        func kibibytes(_ name: String, _ byteCount: UInt64) -> XMLElement {
            XMLElement(name, ["unit": "KiB"], text: "\(byteCount / 1024)")
        }
        return XMLElement(
            "memory",
            ["model": "virtio-mem"],
            [
                XMLElement(
                    "target",
                    [:],
                    [
                        kibibytes("size", range.byteCount), XMLElement("node", text: "0"),
                        kibibytes("block", block.rawValue), kibibytes("requested", requested.rawValue),
                    ]
                ),
                XMLElement("alias", ["name": Self.alias(number)]),
            ]
        )
    }

    /// What libvirt has no words for, in QEMU's: where it is (libvirt has, from 9.4 on), and whether a block's memory is taken
    /// from the system before the guest gets it.
    func properties(_ number: Int, takesMemory: Bool) -> XMLElement {
        func property(_ name: String, _ type: String, _ value: String) -> XMLElement {
            XMLElement("qemu:property", ["name": name, "type": type, "value": value])
        }
        return XMLElement(
            "qemu:device",
            ["alias": Self.alias(number)],
            [
                XMLElement(
                    "qemu:frontend",
                    [:],
                    [
                        property("memaddr", "unsigned", "\(range.address.rawValue)"),
                        property("prealloc", "bool", "\(takesMemory)"),
                    ]
                )
            ]
        )
    }
}

#endif

#if Libvirt
import Custody
import CustodyOptions
import CustodyConfiguration
import Glibc
import Testing

@testable import LibvirtBackend

/// Elastic pools and the balloon of a domain that is made: by the keys of a configuration file.
@Suite(.timeLimit(.minutes(60))) struct ConfiguredFacetTests {
    /// A file whose last line is a key of the back end's section. Its modules are at 4 GiB and 4352 MiB, as `LiveGuest`'s.
    private static func configuration(_ keys: String...) throws -> Configuration {
        let file = """
            backend: libvirt
            guest:
              memory:
                - {at: 4GiB, size: 4MiB}
                - {at: 4352MiB, size: 1MiB}
            backends:
              libvirt:
            """
        return try Configuration(
            YAMLReader.read(([file] + keys.map { "    " + $0 }).joined(separator: "\n"), file: "vm.yaml"),
            registry: BackendRegistry([LibvirtProvider()])
        )
    }

    private static let pools =
        "elastic-pools: [{at: 5GiB, size: 64MiB, requested: 32MiB}, {at: 4224MiB, size: 32MiB, block: 4MiB}]"

    @Test func theKeysAreRead() throws {
        let configuration = try Self.configuration(Self.pools, "balloon: true")
        let options = try LibvirtOptions(configuration.backendOptions)
        #expect(options.hasBalloon)
        #expect(options.elasticPools.map(\.range.address.rawValue) == [5 << 30, 4224 << 20])
        #expect(options.elasticPools.map(\.range.byteCount) == [64 << 20, 32 << 20])
        #expect(options.elasticPools.map(\.block.rawValue) == [2 << 20, 4 << 20])
        #expect(options.elasticPools.map(\.requested.rawValue) == [32 << 20, 0])
        let account = configuration.account.flatMap(\.lines).joined(separator: "\n")
        #expect(account.contains("block: 2 MiB, requested: 32 MiB"), "\(account)")
        #expect(account.contains("balloon: true"))
        let neither = try LibvirtOptions(Self.configuration("domain: x").backendOptions)
        #expect(neither.elasticPools.isEmpty && !neither.hasBalloon)
    }

    /// What libvirt or QEMU would refuse, or worse take, is refused in its place.
    @Test(arguments: [
        ("{at: 5GiB, size: 64MiB, block: 1MiB}", 21, "‘block’ must be a power of two from 2 MiB on, not 1 MiB"),
        ("{at: 5GiB, size: 64MiB, block: 6MiB}", 21, "‘block’ must be a power of two from 2 MiB on, not 6 MiB"),
        ("{at: 5GiB, size: 64MiB, block: 0}", 21, "‘block’ must be a power of two from 2 MiB on, not 0 B"),
        ("{at: 5GiB, size: 63MiB}", 21, "at a multiple of its block, 2 MiB, between 4 GiB and 512 GiB"),
        ("{at: 5GiB, size: 64MiB, block: 128MiB}", 21, "at a multiple of its block, 128 MiB"),
        ("{at: 5121MiB, size: 64MiB}", 21, "a pool begins and ends at a multiple of its block"),
        ("{at: 4032MiB, size: 64MiB}", 21, "between 4 GiB and 512 GiB"),
        ("{at: 511GiB, size: 1026MiB}", 21, "between 4 GiB and 512 GiB"),
        ("{at: 5GiB, size: 64MiB, requested: 66MiB}", 21, "must be a multiple of the block, 2 MiB, up to 64 MiB"),
        ("{at: 5GiB, size: 64MiB, requested: 3MiB}", 21, "must be a multiple of the block, 2 MiB, up to 64 MiB"),
        ("{at: 5GiB, size: 0}", 21, "range is empty"), ("{size: 64MiB}", 21, "the key ‘at’ is missing"),
        ("{at: 5GiB}", 21, "the key ‘size’ is missing"),
        ("{at: 5GiB, size: 64MiB, bloc: 2MiB}", 45, "did you mean ‘block’?"),
        ("{at: 5GiB, size: 64MiB}, {at: 5182MiB, size: 64MiB}", 46, "overlaps the pool"),
        ("{at: 6GiB, size: 64MiB}, {at: 4350MiB, size: 4MiB}", 46, "overlaps the memory module"),
    ])
    func whatCannotBeIsRefusedInItsPlace(items: String, column: Int, message: String) throws {
        let error = #expect(throws: ConfigurationError.self) {
            let configuration = try Self.configuration("elastic-pools: [\(items)]")
            do throws(BackendCreationError) {
                let overrides = [("root", TestRoot.root.path), ("memory", TestRoot.root.memory)].reduce(
                    ConfigurationSection(at: SourceLocation(file: "test", line: 1, column: 1))
                ) { $0.setting($1.0, to: $1.1, option: "test") }
                _ = try configuration.makeBackend(overrides: overrides)
            } catch {
                guard case .configuration(let flaw) = error else { throw error }
                throw flaw
            }
        }
        #expect(error?.message.contains(message) == true, "\(error as Any)")
        #expect(error?.location == SourceLocation(file: "vm.yaml", line: 8, column: column), "\(error as Any)")
    }

    /// Before they are held against each other.
    @Test func manyPoolsAreRefusedInTheirPlace() throws {
        let items = (0...250).map { "{at: \(8192 + 2 * $0)MiB, size: 2MiB}" }
        let error = #expect(throws: ConfigurationError.self) {
            _ = try Self.configuration("elastic-pools: [\(items.joined(separator: ", "))]")
        }
        #expect(error?.message == "a domain has room for 250 modules and pools")
        let column = 21 + items.dropLast().reduce(0) { $0 + $1.count + 2 }
        #expect(error?.location == SourceLocation(file: "vm.yaml", line: 8, column: column))
    }

    /// A pool is what it is, wherever it is named.
    @Test func poolsAreComparedByWhatTheyAre() throws {
        let item = "{at: 5GiB, size: 64MiB}"
        let read = try LibvirtOptions(Self.configuration("elastic-pools: [\(item)]").backendOptions).elasticPools
        let other = try LibvirtOptions(Self.configuration("elastic-pools: [ \(item)]").backendOptions).elasticPools
        let made = try ElasticPoolConfiguration(
            PageRange(address: GuestPhysicalAddress(5 << 30), byteCount: 64 << 20)
        )
        #expect(read == [made] && other == [made] && Set(read + other).count == 1)
    }

    @Test(arguments: ["elastic-pools: [{at: 5GiB, size: 2MiB}]", "balloon: true"])
    func anAdoptedDomainHasWhatItHas(key: String) throws {
        let error = #expect(throws: ConfigurationError.self) { _ = try Self.configuration("adopt: theirs", key) }
        let name = key.prefix { $0 != ":" }
        #expect(error?.message == "‘\(name)’ is for a domain that is made, and ‘adopt’ names one that is there")
        _ = try Self.configuration("adopt: theirs", "elastic-pools: []", "balloon: false")
    }

    /// Nor by who makes the options himself.
    @Test func optionsThatCannotBeAreRefusedBeforeAnythingIsMade() throws {
        let range = try PageRange(address: GuestPhysicalAddress(5 << 30), byteCount: 64 << 20)
        let wrong: [(UInt64, UInt64)] = [(3 << 20, 0), (1 << 20, 0), (128 << 20, 0), (2 << 20, 1), (2 << 20, .max)]
        for (block, requested) in wrong {
            let error = #expect(throws: BackendError.self) {
                _ = try ElasticPoolConfiguration(range, block: ByteCount(block), requested: ByteCount(requested))
            }
            #expect(error?.code == .invalidArgument && error?.range == range)
        }
        var options = LiveGuest.options("never")
        options.root = "/tmp/custody-never-\(getpid())"
        let region = GuestConfiguration(layout: try GuestMemoryLayout(regions: [range]))
        options.elasticPools = [try ElasticPoolConfiguration(range)]
        let overlap = #expect(throws: BackendError.self) { _ = try LibvirtBackend(region, options: options) }
        #expect(overlap?.code == .invalidArgument && overlap?.range == range)
        options.elasticPools = try (0..<UInt64(250)).map { index in
            let address = GuestPhysicalAddress((6 << 30) + index << 21)
            return try ElasticPoolConfiguration(PageRange(address: address, byteCount: 2 << 20))
        }
        let many = #expect(throws: BackendError.self) { _ = try LibvirtBackend(region, options: options) }
        #expect(many?.code == .unsupported)
        #expect(unsafe access(options.root, F_OK) != 0)
    }

    /// Libvirt's own schema takes it, for either guest, and there is room for the pools beside the modules.
    @Test func theSchemaTakesIt() throws {
        var domain = DomainConfiguration(name: "x", regionsEnd: 5 << 30, slots: 3)
        #expect(!domain.description.text.contains("qemu:"))
        domain.pools = [try .test(requested: 2 << 20), try .test()]
        domain.hasBalloon = true
        var (micro, linux) = (domain, domain)
        micro.firmware = "/bios"
        linux.kernel = ("/vmlinuz", "/initramfs", "quiet")
        for domain in [micro, linux] {
            let result = try domain.description.validated()
            #expect(result.code == 0, "\(result.output)")
        }
        let room = try #require(domain.description.first("maxMemory"))
        #expect(room["slots"] == "5" && room.byteCount == (16 << 20) + (4 << 30) + (64 << 20))
        #expect(domain.description.first("devices")?.elements("memballoon").map { $0["model"] } == ["virtio"])
    }

    /// They are where they are configured to be, beside the modules; a back end that comes after this process finds them as
    /// they are, and so does one that adopts the domain. The micro guest has no drivers: what it is asked for stays pending.
    @Test func theyAreFoundAgain() throws {
        let name = "configured"
        let read = try LibvirtOptions(Self.configuration(Self.pools, "balloon: true").backendOptions)
        func make(_ change: (inout LibvirtOptions) throws -> Void = { _ in }) throws -> LiveGuest {
            try LiveGuest(name, modules: [4, 1], isOwner: false) { options in
                options.elasticPools = read.elasticPools
                options.hasBalloon = read.hasBalloon
                try change(&options)
            }
        }
        defer { try? TestRoot.connect().domain(named: "\(name)-\(getpid())")?.destroy() }
        func expectFacets(of live: LiveGuest, requested: [UInt64]) throws -> DomainFacets {
            let facets = try live.backend.facets()
            #expect(facets.pools.map(\.address.rawValue) == [5 << 30, 4224 << 20])
            #expect(facets.pools.map(\.capabilities.granularity) == [2 << 20, 4 << 20])
            let states = try facets.pools.map { pool throws(BackendError) in try pool.state() }
            #expect(states.map(\.requested) == requested && states.map(\.current) == [0, 0])
            #expect(states.map(\.size) == [64 << 20, 32 << 20])
            #expect(facets.capabilities.contains { $0.facet == "balloon" && $0.limits.contains("without a driver") })
            #expect(facets.capabilities.contains { $0.facet == "elastic pool" && $0.limits.contains("has no driver") })
            return facets
        }
        let first = try make()
        var facets = try expectFacets(of: first, requested: [32 << 20, 0])
        #expect(try facets.pools[0].state().holder?.purpose == "has yet to take 32 MiB")
        try facets.pools[0].request(16 << 20)
        let state = try facets.pools[0].settle(within: .milliseconds(300), nudgingEvery: .milliseconds(100))
        #expect(state.holder?.purpose == "has yet to take 16 MiB")
        #expect(try facets.pools[1].request(8 << 20).holder?.purpose == "has yet to take 8 MiB")
        #expect(try facets.pools[1].withdraw().isSettled)
        let balloon = try #require(facets.balloon)
        #expect(balloon.maximum == 16 << 20, "a pool is none of its memory")
        #expect(try balloon.state().actual == balloon.maximum)
        try balloon.ask(8 << 20)
        let pressure = try balloon.settle(within: .milliseconds(200))
        #expect(pressure.asked == 8 << 20 && pressure.actual == 16 << 20 && pressure.holder?.queue == "balloon")
        // The modules are in their places, one of them between the pools.
        for module in 0..<2 { try first.convert(first.module(module), to: .shared) }
        #expect(try first.plugged() == [0, 1])
        first.backend.abandon()

        // Another configuration is not that domain's.
        let other = #expect(throws: BackendError.self) { _ = try make { $0.elasticPools.removeLast() } }
        #expect(other?.code == .unavailable)
        let were = "32 MiB at 0x108000000 in blocks of 4 MiB, 64 MiB at 0x140000000 in blocks of 2 MiB"
        #expect(other?.message.contains("and was \(were). ‘fresh: true’ ends it") == true, "\(other as Any)")
        let larger = #expect(throws: BackendError.self) {
            _ = try make { options in
                let range = try PageRange(address: GuestPhysicalAddress(4224 << 20), byteCount: 64 << 20)
                options.elasticPools[1] = try ElasticPoolConfiguration(range, block: ByteCount(4 << 20))
            }
        }
        #expect(larger?.code == .unavailable)
        let finer = #expect(throws: BackendError.self) {
            _ = try make { $0.elasticPools[1] = try ElasticPoolConfiguration($0.elasticPools[1].range) }
        }
        #expect(finer?.code == .unavailable)
        let without = #expect(throws: BackendError.self) { _ = try make { $0.hasBalloon = false } }
        #expect(without?.message.contains("‘balloon’ is false, and was true. ‘fresh") == true)

        // What was asked for last holds, and not what the file says a new domain is asked for.
        let adopted = try make { options in
            (options.elasticPools, options.hasBalloon) = ([], false)
            options.adopt = options.domain
            options.channel = "\(options.root)/\(options.domain).channel"
        }
        facets = try expectFacets(of: adopted, requested: [16 << 20, 0])
        #expect(try facets.balloon?.state().actual == 16 << 20 + 5 << 20)
        adopted.backend.abandon()
        // In whatever order they are named.
        let second = try make { $0.elasticPools.reverse() }
        _ = try expectFacets(of: second, requested: [16 << 20, 0])
        #expect(try second.plugged() == [0, 1])
        let folder = second.backend.folders.libvirt
        #expect(unsafe access(folder + "/ua-custody-pool-0", F_OK) == 0)
        second.backend.shutDown()
        #expect(unsafe access(folder, F_OK) != 0, "libvirt has taken its files away")
    }
}

#endif

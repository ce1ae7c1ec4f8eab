import Custody
public import CustodyOptions
public import CustodyPolicy

/// The pools of a process: each guest's configuration names the one that it is in.
public final class SharedPools: Sendable {
    private let pools = Locked<[String: (configuration: PoolConfiguration, pool: SharedPool)]>([:])

    /// The pools of this process: guests whose configurations name the same one are in one, whoever makes them.
    public static let process = SharedPools()

    /// No pool yet.
    public init() {}

    /// The pool that the configuration names, or `nil` where it names none. The first one that names it makes it.
    ///
    /// - Throws: `ConfigurationError` where another configuration gave it another size.
    public func pool(for configuration: Configuration) throws(ConfigurationError) -> SharedPool? {
        guard let named = configuration.pool else { return nil }
        let (known, pool) = pools.withLock { pools in
            let entry = pools[named.name] ?? (named, SharedPool(pages: named.pages))
            pools[named.name] = entry
            return entry
        }
        guard known.pages == named.pages else {
            let size = ByteCount.text(ofPages: known.pages)
            throw ConfigurationError(
                "the pool ‘\(named.name)’ has another size at \(known.location): \(size)",
                at: named.location
            )
        }
        return pool
    }
}

package import SimulationBackend

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Where the chance of a property test comes from: `CUSTODY_SEED` where it is set, else a number that stays the same.
package enum Seed {
    /// The seed that `CUSTODY_SEED` names, or `fallback`.
    package static func value(_ fallback: UInt64 = 20_250_117) -> UInt64 { number("CUSTODY_SEED") ?? fallback }

    /// The number that a variable of the environment has, or `nil`.
    package static func number(_ variable: String) -> UInt64? {
        guard let text = unsafe getenv(variable) else { return nil }
        return UInt64(unsafe String(cString: text))
    }

    /// A generator for one test, and the line that a failure prints.
    package static func generator(_ name: String) -> (random: SplitMix64, note: String) {
        let seed = value()
        print("\(name): CUSTODY_SEED=\(seed)")
        return (SplitMix64(seed: seed), "\(name), CUSTODY_SEED=\(seed)")
    }
}

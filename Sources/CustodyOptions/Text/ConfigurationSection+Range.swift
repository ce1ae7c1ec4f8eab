public import Custody

extension ConfigurationSection {
    /// The pages that `at` and `size` name, both in bytes with a unit.
    ///
    /// - Throws: `ConfigurationError` where a key is missing or the two are no range of pages.
    public mutating func range() throws(ConfigurationError) -> PageRange {
        guard let address = try byteCount("at") else { throw missing("at") }
        guard let size = try byteCount("size") else { throw missing("size") }
        do {
            return try PageRange(address: GuestPhysicalAddress(address.rawValue), byteCount: size.rawValue)
        } catch {
            throw ConfigurationError("\(error)", at: location)
        }
    }
}

import Custody

/// Pages of the guest with their place in the files, in bytes.
struct FilePages: Sendable, Hashable {
    /// The pages.
    let range: PageRange
    /// Where they begin in every file.
    let offset: UInt64

    /// Their length.
    var length: UInt64 { range.byteCount }
}

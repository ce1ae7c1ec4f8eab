/// How a mode's own call to convert pages ended, where it did not fail.
enum ConversionAttempt: Sendable, Hashable {
    /// All pages are converted.
    case done
    /// No page is, because somebody holds a reference to the page at this offset of the file, in bytes. It will do when
    /// the reference is gone.
    case held(offset: UInt64)
}

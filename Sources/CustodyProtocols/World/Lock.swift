/// The locks of a file. The folio lock is not among them: it belongs to the folio.
@frozen
public enum Lock: UInt8, CaseIterable, Sendable {
    /// `inode->i_mapping->invalidate_lock`, a sleeping reader-writer semaphore. Taken before a folio lock.
    case invalidate
    /// `offsets_lock` of version 7, a spinning reader-writer lock: its holder must not sleep.
    case offsets
}

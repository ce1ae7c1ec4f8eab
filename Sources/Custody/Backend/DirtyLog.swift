/// A back end's ability to tell which pages have been written: what live migration and incremental snapshots need.
///
/// A page is dirty from the first write until it is cleared: of the guest's own, or of the host's through this back end, which
/// may be a device's; contents that are discarded count as written. A back end may report a page that the guest has merely read, and never leaves one out that it has written. To copy a
/// running guest: collect, clear what is about to be copied, then copy it. What the guest writes after a page was cleared,
/// and so perhaps after it was copied, makes it dirty again.
public protocol DirtyLog: Sendable {
    /// Notes what is written from here on; all pages are clean.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/invalidArgument`` where it has been started already, or what the
    ///   back end reports; nothing is noted then.
    func start() throws(BackendError)

    /// The pages that are dirty, as runs of `true`; the map covers the guest's layout. They stay dirty.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/invalidArgument`` where it has not been started, or what the
    ///   back end reports; no page is forgotten then.
    func collect() throws(BackendError) -> PageRunMap<Bool>

    /// Makes pages clean. A write that came after the last ``collect()`` is not forgotten: the next one reports it.
    ///
    /// - Throws: ``BackendError`` with ``BackendError/Code/invalidArgument`` where it has not been started.
    func clear(_ range: PageRange) throws(BackendError)

    /// Notes nothing any more. Harmless where nothing is.
    ///
    /// - Throws: ``BackendError``, what the back end reports.
    func stop() throws(BackendError)
}

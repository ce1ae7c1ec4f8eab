public import Custody

/// The calls that make pages reachable for devices: an ioctl of VFIO or iommufd, a message to a vhost-user back end.
public protocol DMAMapper: Sendable {
    /// Makes pages reachable. None of them is.
    ///
    /// - Throws: `BackendError` where it cannot; none of the pages is reachable then.
    func map(_ range: PageRange) throws(BackendError)

    /// Ends the reach of devices: no access of theirs goes on when it returns. All of the pages are reachable; they may
    /// be a part of what was mapped in one call, or have been mapped in several.
    func unmap(_ range: PageRange)
}

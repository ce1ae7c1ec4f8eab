/// What memory the guest finds at a page.
package enum Backing: UInt8, Sendable, Hashable {
    /// None: no slot, and an access leaves the guest.
    case none
    /// The file that the host can touch.
    case shared
    /// The file that the host cannot touch.
    case `private`
}

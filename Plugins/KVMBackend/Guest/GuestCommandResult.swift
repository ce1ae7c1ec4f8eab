/// What came of a command of the guest program.
package enum GuestCommandResult: Sendable, Hashable {
    /// It is done. The two results are what the guest says.
    case done(value: UInt64, address: UInt64, bytes: [UInt8])
    /// Its access was stopped at this guest-physical byte address.
    case fault(UInt64)
}

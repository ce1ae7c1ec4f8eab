package import SystemPackage

/// Where every system call of this back end goes through: the kernel, or a test that lets one fail.
package protocol Kernel: Sendable {
    /// Makes one call.
    ///
    /// - Returns: what the call returns: a descriptor, an address, a number, or zero.
    /// - Throws: the call's errno.
    func perform(_ call: SystemCall) throws(Errno) -> Int
}

extension Kernel {
    /// Makes one call, with an error that names it.
    @discardableResult
    func call(_ call: SystemCall) throws(KVMError) -> Int {
        do throws(Errno) { return try perform(call) } catch { throw KVMError(call, error) }
    }
}

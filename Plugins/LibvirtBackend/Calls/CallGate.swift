#if Libvirt

/// What every call into libvirt and the kernel passes through: nothing, or a test that lets one fail.
package protocol CallGate: Sendable {
    /// Looks at a call that is about to be made.
    ///
    /// - Returns: `nil` to let it be made; else a number, a `virErrorNumber` or an errno, that it fails with instead.
    func refusal(of call: Call) -> Int32?

    /// Looks at a call that has succeeded.
    ///
    /// - Returns: `nil` to let it have succeeded; else a number that it fails with although its effect is there.
    func failure(after call: Call) -> Int32?
}

/// One call out of this package.
package enum Call: Sendable, Hashable {
    /// Into libvirt.
    case libvirt(LibvirtCall)
    /// Into the kernel.
    case host(HostCall)
}

/// The gate that lets everything through.
package struct OpenGate: CallGate {
    package init() {}
    package func refusal(of call: Call) -> Int32? { nil }
    package func failure(after call: Call) -> Int32? { nil }
}

extension CallGate {
    /// Makes a call of libvirt that returns an object or nothing.
    ///
    /// The error is read before anything else runs on this thread, which is where libvirt keeps it.
    ///
    /// - Parameter giveBack: what is done with the object where the call is made to have failed although its effect is there;
    ///   without it that is not asked.
    func object<Result>(
        _ call: LibvirtCall,
        givingBack giveBack: ((Result) -> Void)? = nil,
        _ body: () -> Result?
    ) throws(VirError) -> Result {
        if let code = refusal(of: .libvirt(call)) { throw VirError(injected: code, call) }
        guard let result = body() else { throw VirError(last: call) }
        if let giveBack, let code = failure(after: .libvirt(call)) {
            giveBack(result)
            throw VirError(injected: code, call)
        }
        return result
    }

    /// Makes a call of libvirt that returns a negative number where it fails.
    @discardableResult
    func number(_ call: LibvirtCall, _ body: () -> Int32) throws(VirError) -> Int32 {
        if let code = refusal(of: .libvirt(call)) { throw VirError(injected: code, call) }
        let result = body()
        guard result >= 0 else { throw VirError(last: call) }
        if let code = failure(after: .libvirt(call)) { throw VirError(injected: code, call) }
        return result
    }
}

#endif

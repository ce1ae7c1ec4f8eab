/// A file descriptor with one owner: it is closed when the owner is gone.
struct OwnedDescriptor: ~Copyable, Sendable {
    /// The number.
    let rawValue: Int32
    /// Where it came from and goes back to.
    let kernel: any Kernel

    /// Takes the descriptor that `call` returns.
    init(_ call: SystemCall, of kernel: any Kernel) throws(KVMError) {
        rawValue = Int32(truncatingIfNeeded: try kernel.call(call))
        self.kernel = kernel
    }

    deinit {
        // Nothing is written through these descriptors, so close has no late error to report.
        _ = try? kernel.perform(.close(rawValue))
    }

    /// Makes a request whose argument is a number.
    @discardableResult
    func request(_ request: KVMRequest, _ argument: UInt = 0) throws(KVMError) -> Int {
        try kernel.call(.ioctl(rawValue, request, argument: argument))
    }

    /// Makes a request whose argument is a structure.
    @discardableResult
    func request<Structure>(_ request: KVMRequest, _ structure: inout Structure) throws(KVMError) -> Int {
        try unsafe withUnsafeMutablePointer(to: &structure) { pointer throws(KVMError) in
            try unsafe kernel.call(.ioctl(rawValue, request, argument: UInt(bitPattern: pointer)))
        }
    }

    /// Makes a request whose argument is a structure of so many bytes.
    @discardableResult
    func request(_ request: KVMRequest, bytes: inout [UInt8]) throws(KVMError) -> Int {
        var span = bytes.mutableSpan
        return try unsafe span.withUnsafeMutableBytes { buffer throws(KVMError) in
            try kernel.call(.ioctl(rawValue, request, argument: UInt(bitPattern: buffer.baseAddress)))
        }
    }

    /// Makes a request whose argument is a structure of 32-bit words.
    @discardableResult
    func request(_ request: KVMRequest, words: inout [UInt32]) throws(KVMError) -> Int {
        var span = words.mutableSpan
        return try unsafe span.withUnsafeMutableBytes { buffer throws(KVMError) in
            try kernel.call(.ioctl(rawValue, request, argument: UInt(bitPattern: buffer.baseAddress)))
        }
    }
}

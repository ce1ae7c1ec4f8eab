/// A back end, or what stands before one, under which a kernel's protocol may be driven.
public protocol KernelDriven {
    /// What drives it; `nil` where it cannot be.
    var kernelDriver: (any KernelDriver)? { get }
}

public import Custody

/// What a monitor gives a processor's exits to: its devices, and its word on whether to go on.
///
/// The methods are called on the thread that runs the processor, which is out of the guest meanwhile. Accesses are answered
/// by their values; what a method does not answer is answered as a bus without a device does: reads give all ones, writes
/// are lost, model-specific registers fault, hypercalls are not there. Every exit that is not an access goes to
/// ``decide(on:)``, and ends the run unless it says otherwise.
public protocol ProcessorExitHandler: Sendable {
    /// The value of 1 to 8 bytes of memory that is not there.
    func readMemory(at address: GuestPhysicalAddress, byteCount: Int) -> UInt64

    /// Takes the value that the guest writes to 1 to 8 bytes of memory that is not there, or is read-only.
    func writeMemory(_ value: UInt64, at address: GuestPhysicalAddress, byteCount: Int)

    /// The value of a port: 1, 2 or 4 bytes. A string instruction asks once for each of its values.
    func readPort(_ port: UInt16, byteCount: Int) -> UInt32

    /// Takes the value that the guest writes to a port: 1, 2 or 4 bytes.
    func writePort(_ value: UInt32, to port: UInt16, byteCount: Int)

    /// The result of a hypercall other than ``MapGPARange``, which goes to whoever answers guest requests.
    func call(_ hypercall: Hypercall) -> HypercallResult

    /// The value of a model-specific register, or `nil` to have the guest take a general-protection fault.
    func readMSR(_ index: UInt32) -> UInt64?

    /// Takes the value that the guest writes to a model-specific register.
    ///
    /// - Returns: `false` to have the guest take a general-protection fault.
    func writeMSR(_ value: UInt64, to index: UInt32) -> Bool

    /// What is to happen after an exit that asks for no value.
    func decide(on exit: ProcessorExit) -> ProcessorDecision
}

/// Whether a processor goes on after an exit.
public enum ProcessorDecision: Sendable, Hashable {
    /// It enters the guest again.
    case resume
    /// Its run ends with the exit.
    case stop
}

extension ProcessorExitHandler {
    /// All ones.
    public func readMemory(at address: GuestPhysicalAddress, byteCount: Int) -> UInt64 { .max }

    /// The value is lost.
    public func writeMemory(_ value: UInt64, at address: GuestPhysicalAddress, byteCount: Int) {}

    /// All ones.
    public func readPort(_ port: UInt16, byteCount: Int) -> UInt32 { .max }

    /// The value is lost.
    public func writePort(_ value: UInt32, to port: UInt16, byteCount: Int) {}

    /// There is no such call.
    public func call(_ hypercall: Hypercall) -> HypercallResult { .noSuchCall }

    /// There is no such register.
    public func readMSR(_ index: UInt32) -> UInt64? { nil }

    /// There is no such register.
    public func writeMSR(_ value: UInt64, to index: UInt32) -> Bool { false }

    /// The run ends.
    public func decide(on exit: ProcessorExit) -> ProcessorDecision { .stop }
}

import CKVM
import Custody

extension RunPage {
    /// Has an exit handled, and writes the answer to where KVM looks for it when it is entered again.
    ///
    /// - Parameters:
    ///   - processor: The number that requests of the guest carry.
    ///   - requests: Answers ``MapGPARange``.
    func answer(
        _ exit: ProcessorExit,
        of processor: Int,
        by handler: any ProcessorExitHandler,
        requests: any GuestRequestHandler
    ) -> ProcessorDecision {
        switch exit {
        case .io(let access): answer(access, by: handler)
        case .mmio(let access):
            if let value = access.value {
                handler.writeMemory(value, at: access.address, byteCount: access.length)
            } else {
                let value = handler.readMemory(at: access.address, byteCount: access.length)
                self[CKVM_MMIO_DATA] = value.lowBytes(access.length)
            }
        case .hypercall(let call):
            self[CKVM_HYPERCALL_RESULT] =
                (answer(call, of: processor, requests: requests) ?? handler.call(call)).rawValue
        case .readMSR(let access):
            let value = handler.readMSR(access.index)
            self[CKVM_MSR_ERROR] = value == nil ? 1 as UInt8 : 0
            self[CKVM_MSR_DATA] = value ?? 0
        case .writeMSR(let access):
            let isTaken = handler.writeMSR(access.value ?? 0, to: access.index)
            self[CKVM_MSR_ERROR] = isTaken ? 0 as UInt8 : 1
        case .interrupted: break
        default: return handler.decide(on: exit)
        }
        return .resume
    }

    /// Answers a request for a conversion, or returns `nil` where the call is another one.
    func answer(
        _ call: Hypercall,
        of processor: Int,
        requests: any GuestRequestHandler
    ) -> HypercallResult? {
        guard call.number == MapGPARange.number else { return nil }
        guard let range = MapGPARange(call) else { return .invalidArgument }
        return HypercallResult(requests.handle(range.request(from: processor)))
    }

    private func answer(_ access: ProcessorExit.PortAccess, by handler: any ProcessorExitHandler) {
        guard let data = data(of: access) else { return }
        for offset in stride(from: data.lowerBound, to: data.upperBound, by: access.size) {
            if access.isOutput {
                let value = UInt32(truncatingIfNeeded: value(at: offset, size: access.size))
                handler.writePort(value, to: access.port, byteCount: access.size)
            } else {
                store(UInt64(handler.readPort(access.port, byteCount: access.size)), at: offset, size: access.size)
            }
        }
    }
}

import CKVM
import Custody

// What goes wrong, and what is said then.
extension KVMBackend {
    func denied(at address: UInt64, _ signal: Int32) -> BackendError {
        let address = GuestPhysicalAddress(address)
        let name = signal == CKVM_SIGNAL_BUS ? "SIGBUS" : "SIGSEGV"
        return BackendError(
            .accessDenied,
            "the host may not touch \(address)",
            range: try? PageRange(address.page),
            fault: HostFault(enforcement: capabilities.enforcement, address: address, evidence: name)
        )
    }

    static func outside(_ address: GuestPhysicalAddress, _ count: Int) -> BackendError {
        BackendError(.invalidArgument, "\(count) bytes from \(address) on are not in one region of the guest's RAM")
    }

    static func scattered(_ range: PageRange) -> BackendError {
        BackendError(.invalidArgument, "the pages are not all in one ownership", range: range)
    }

    static func noSlots(_ range: PageRange) -> BackendError {
        BackendError(
            .resourcesExhausted,
            "KVM has no memory slot left: convert neighbouring pages together, or convert some back",
            range: range
        )
    }

    static func tooManyRegions(_ layout: GuestMemoryLayout, _ slotCount: Int) -> BackendError {
        BackendError(
            .resourcesExhausted,
            "\(layout.regions.count) regions of RAM need more than the \(max(0, slotCount)) memory slots there are"
        )
    }

    static let handlersTaken = BackendError(
        .resourcesExhausted,
        "the handlers for SIGBUS and SIGSEGV are taken"
    )

    static func unavailable(_ error: KVMError) -> BackendError {
        BackendError(.unavailable, "KVM cannot be used", cause: error)
    }

    static func checkProcessor() throws(BackendError) {
        guard ckvm_guest_program_size() > 0 else {
            throw BackendError(.unavailable, "this version runs guests on x86-64 only")
        }
    }
}

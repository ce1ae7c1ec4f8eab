public import Custody

// Memory beside the guest's RAM.
extension KVMBackend {
    /// Puts memory into the guest's address space that it reads and cannot write, such as firmware.
    ///
    /// A write of the guest's goes to ``ProcessorExitHandler/writeMemory(_:at:byteCount:)``, and its value is the handler's
    /// affair. The memory stays until the back end is gone. Where the guest program would be, beside RAM, the program cannot be
    /// run any more.
    ///
    /// - Parameters:
    ///   - contents: The bytes; the rest of the last page is zeroes.
    ///   - address: Where they are to be: the address of a page, outside of the guest's RAM.
    /// - Throws: `BackendError` with code `invalidArgument` for no bytes, an address within a page, or a place where there
    ///   is memory or the guest program is at work, with `unsupported` where KVM has no such slots or the machine is
    ///   adopted, with `resourcesExhausted` where it has none left. Nothing has changed then.
    public func addReadOnlyMemory(
        _ contents: [UInt8],
        at address: GuestPhysicalAddress
    ) throws(BackendError) {
        guard adopted == nil else {
            throw BackendError(.unsupported, "the machine is adopted: memory beside RAM is its monitor's to add")
        }
        guard hasReadOnlySlots else {
            throw BackendError(.unsupported, "KVM_CAP_READONLY_MEM is absent: the guest's memory can all be written")
        }
        let page = PageSize.base.bytes
        let pages = (UInt64(contents.count) + (page - 1)) / page
        guard address.rawValue % page == 0, !contents.isEmpty,
            let range = try? PageRange(start: address.page, count: pages)
        else {
            throw BackendError(.invalidArgument, "\(contents.count) bytes at \(address) are no pages of memory")
        }
        if let lost = engine.lost { throw lost }
        let slot = try ledger.withLock { ledger -> Result<UInt32, BackendError> in
            let taken = layout.regions + ledger.readOnlyPlaces
            if let other = taken.first(where: { $0.overlaps(range) }) {
                return .failure(BackendError(.invalidArgument, "there is memory already: \(other)", range: range))
            }
            guard ledger.hasRoom(for: 1) else { return .failure(KVMBackend.noSlots(range)) }
            ledger.readOnlyPlaces.append(range)
            return .success(ledger.slots.takeOther())
        }.get()
        do {
            try own?.programSlot.leave(to: range)
            let memory = try ReadOnlyMemory(contents, range: range, kernel: machine.virtualMachine.descriptor.kernel)
            try memory.bind(slot, in: machine.virtualMachine)
            ledger.withLock { $0.readOnly.append(memory) }
        } catch {
            ledger.withLock { ledger in
                ledger.slots.giveBackOther(slot)
                ledger.readOnlyPlaces.removeAll { $0 == range }
            }
            own?.programSlot.retake(from: range)
            if let error = error as? BackendError { throw error }
            throw BackendError(
                .system,
                "read-only memory cannot be added; nothing has changed",
                range: range,
                cause: error
            )
        }
    }
}

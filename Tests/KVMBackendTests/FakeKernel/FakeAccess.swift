import CKVM
import SystemPackage

/// Where an access of a guest to one page ends.
enum FakeAccess: Sendable {
    /// In memory, at this address of this process, up to the end of the page.
    case memory(UInt)
    /// Nowhere: there is no slot.
    case mmio
    /// At KVM, which leaves it to user space: the guest took the page for private, or for shared, and it is not.
    case fault(isPrivate: Bool)
    /// At an error.
    case error(Errno)

    /// Finds out.
    init(_ address: UInt64, of processor: FakeProcessor, in state: FakeKernel.State) {
        guard let machine = state.machines[processor.machine] else {
            self = .error(.ioError)
            return
        }
        let gfn = address / UInt64(FakeFile.page)
        let slot = machine.slot(at: address)
        let file = slot?.file.flatMap { state.files[$0] }
        let filePage = slot.map { Int($0.offset + (address - $0.guestAddress)) / FakeFile.page }
        // Private by the machine's attribute, or by the file's. Without a slot a file's attribute is nobody's.
        var isPrivate = machine.privatePages.contains(gfn)
        if machine.hasPrivateMemory, let file, slot?.servesEveryAccess == true, let filePage {
            isPrivate = file.isPrivate(filePage)
        }
        let view = machine.views[gfn].map { $0 == .private } ?? isPrivate
        guard view == isPrivate else {
            self = .fault(isPrivate: view)
            return
        }
        guard let slot, let filePage else {
            self = isPrivate ? .fault(isPrivate: true) : .mmio
            return
        }
        let inPage = UInt(address % UInt64(FakeFile.page))
        let isOfFile = slot.file != nil
        if isPrivate, !isOfFile {
            self = .fault(isPrivate: true)
        } else if isOfFile, file == nil {
            self = .error(.badAddress)
        } else if let file, isPrivate || slot.servesEveryAccess {
            self = .memory(file.alias + UInt(filePage * FakeFile.page) + inPage)
        } else {
            self = .memory(UInt(slot.userAddress + (address - slot.guestAddress)))
        }
    }

    /// Copies out of this process's memory; `false` where it cannot be touched.
    static func copy<Value>(from address: UInt, count: Int, to value: inout Value) -> Bool {
        guard let source = unsafe UnsafeRawPointer(bitPattern: address) else { return false }
        var fault: UInt = 0
        return unsafe withUnsafeMutableBytes(of: &value) { target in
            unsafe ckvm_guarded_copy(target.baseAddress, source, count, &fault) == 0
        }
    }

    /// Copies bytes of this process's memory; `nil` where they cannot be touched.
    static func bytes(at address: UInt, count: Int) -> [UInt8]? {
        guard let source = unsafe UnsafeRawPointer(bitPattern: address) else { return nil }
        var bytes = [UInt8](repeating: 0, count: count)
        var fault: UInt = 0
        let isDone = unsafe bytes.withUnsafeMutableBytes { target in
            unsafe ckvm_guarded_copy(target.baseAddress, source, count, &fault) == 0
        }
        return isDone ? bytes : nil
    }

    /// Copies bytes into this process's memory; `false` where it cannot be touched.
    static func put(_ bytes: [UInt8], at address: UInt) -> Bool {
        guard let target = unsafe UnsafeMutableRawPointer(bitPattern: address) else { return false }
        var fault: UInt = 0
        return unsafe bytes.withUnsafeBytes { source in
            unsafe ckvm_guarded_copy(target, source.baseAddress, bytes.count, &fault) == 0
        }
    }
}

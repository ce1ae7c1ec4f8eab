/// One memory file, with a window of the host's that is closed page by page. KVM has a mapping of its own.
struct RevokedRAM: GuestRAM {
    private final class Window: Sendable {
        let map: MappedMemory
        init(_ map: consuming MappedMemory) { self.map = map }
    }

    private let file: GuestMemoryFile
    private let window: Window

    init(size: UInt64, machine: borrowing VirtualMachine) throws(KVMError) {
        file = try machine.makeGuestMemoryFile(.memfd, size: size)
        window = Window(try file.mapAgain(length: size))
    }

    var sharedMemory: any GuestMemory { file }
    var privateMemory: any GuestMemory { file }
    var windows: (shared: UInt, private: UInt) { (window.map.address, window.map.address) }
    var privateBacking: Backing { .shared }

    func slotMemory(of backing: Backing) -> (user: any GuestMemory, guestMemfd: GuestMemoryFile?) { (file, nil) }

    /// Closes or opens the window.
    func convert(
        _ pages: FilePages,
        to target: Visibility,
        in machine: borrowing VirtualMachine
    ) throws(KVMError) -> ConversionAttempt {
        try window.map.protect(target == .private ? .none : .readWrite, offset: pages.offset, length: pages.length)
        return .done
    }
}

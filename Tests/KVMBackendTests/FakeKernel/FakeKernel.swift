import CKVM
import Custody
import Glibc
import SystemPackage
import Testing

@testable import KVMBackend

/// A model of the KVM that this machine has not got, at the system-call seam: virtual machines with private memory, memory
/// attributes of the machine and of the file, pre-faulting.
///
/// It makes the documented checks in their documented order, with their errors. What is no affair of KVM's (memory files,
/// mappings, holes) is the real kernel's own doing, and bytes are in real memory, so that a host's access to a private page
/// ends in a real SIGBUS, and memory that nobody has dropped can be counted. A processor performs the guest program's
/// commands itself. Sources: `Documentation/virt/kvm/api.rst`, and for the file's attributes linux-next commit 799c9fadc639.
final class FakeKernel: Kernel {
    /// What a descriptor of the fake's own is of.
    enum Object: Sendable {
        case device
        case machine(Int)
        case processor(Int)
        case file(Int)
    }

    struct State: Sendable {
        var objects: [Int32: Object] = [:]
        var machines: [Int: FakeMachine] = [:]
        var processors: [Int: FakeProcessor] = [:]
        var files: [Int: FakeFile] = [:]
        /// Ordinary memory files that are open.
        var memfds: Set<Int32> = []
        /// Ordinary mappings.
        var mappings: Set<UInt> = []
        /// What happens to the pre-fault after so many pages.
        var preFaultEvents: [(pages: Int, errno: Errno)] = []
        /// Slots that are being replaced this very moment.
        var vanishingSlots: Set<UInt32> = []
        /// Whether the kernel has no memory for attributes.
        var memoryIsShort = false
        var nextNumber = 0
        /// A memfd without a page.
        var empty: Int32 = -1

        mutating func number() -> Int {
            nextNumber += 1
            return nextNumber
        }
    }

    let features: FakeFeatures
    let state: Monitor<State>
    private let linux = LinuxKernel()

    init(_ features: FakeFeatures) throws {
        self.features = features
        var state = State()
        state.empty = Int32(try linux.perform(.memfdCreate(name: "fake-empty")))
        self.state = Monitor(state)
    }

    deinit {
        state.update { state in
            for file in state.files.values { file.destroy() }
            for processor in state.processors.values { processor.destroy() }
            for descriptor in state.objects.keys { close(descriptor) }
            close(state.empty)
        }
    }

    func perform(_ call: SystemCall) throws(Errno) -> Int {
        switch call {
        case .open(path: "/dev/kvm", _): try open(.device)
        case .open(path: "/sys/module/kvm/parameters/gmem_in_place_conversion", _): try openParameter()
        case .open: throw .noSuchFileOrDirectory
        case .ioctl(let descriptor, .run, _): try run(descriptor)
        case .ioctl(let descriptor, let request, let argument):
            try state.update { state throws(Errno) in
                try FakeRequest(features: features, argument: argument).perform(request, on: descriptor, &state)
            }
        case .duplicate(let descriptor): try duplicate(descriptor)
        case .close(let descriptor): try closeDescriptor(descriptor)
        case .mmap(let descriptor, let length, _, _):
            try map(call, descriptor, length)
        case .munmap(let address, _):
            try unmap(call, address)
        case .punchHole(let descriptor, let offset, let length):
            try changeFile(call, descriptor, offset, length) { file, state in
                for page in file.pages(offset, length) { state.files[file.number]?.references[page] = nil }
            }
        case .allocate(let descriptor, let offset, let length):
            try changeFile(call, descriptor, offset, length) { _, _ in }
        case .seekData(let descriptor, _):
            if state.update({ $0.file(of: descriptor) }) != nil { throw .illegalSeek } else { try linux.perform(call) }
        case .memfdCreate:
            try note(linux.perform(call)) { state, result in state.memfds.insert(Int32(result)) }
        case .mmapPrivate:
            try note(linux.perform(call)) { state, result in state.mappings.insert(UInt(bitPattern: result)) }
        case .ftruncate, .mprotect, .populate, .discard, .residentPages, .advise, .read: try linux.perform(call)
        }
    }

    /// Takes a new descriptor: a real one, so that its number is nobody else's.
    private func open(_ object: Object) throws(Errno) -> Int {
        let descriptor = try linux.perform(.memfdCreate(name: "fake-kvm"))
        state.update { $0.objects[Int32(descriptor)] = object }
        return descriptor
    }

    /// Opens the module's parameter: a file with its text.
    private func openParameter() throws(Errno) -> Int {
        guard let parameter = features.inPlaceParameter else { throw .noSuchFileOrDirectory }
        let descriptor = try linux.perform(.memfdCreate(name: "fake-parameter"))
        let text = Array((parameter + "\n").utf8)
        let count = unsafe text.withUnsafeBytes { unsafe pwrite(Int32(descriptor), $0.baseAddress, $0.count, 0) }
        guard count == text.count else { throw .ioError }
        return note(descriptor) { state, result in state.memfds.insert(Int32(result)) }
    }

    private func note(_ result: Int, _ body: (inout State, Int) -> Void) -> Int {
        state.update { body(&$0, result) }
        return result
    }

    private func duplicate(_ descriptor: Int32) throws(Errno) -> Int {
        guard let object = state.update({ $0.objects[descriptor] }) else {
            return try linux.perform(.duplicate(descriptor))
        }
        let number = try open(object)
        state.update { state in
            switch object {
            case .machine(let machine): state.machines[machine]?.descriptors += 1
            case .file(let file): state.files[file]?.descriptors += 1
            case .device, .processor: break
            }
        }
        return number
    }

    private func closeDescriptor(_ descriptor: Int32) throws(Errno) -> Int {
        state.update { state in
            state.memfds.remove(descriptor)
            switch state.objects.removeValue(forKey: descriptor) {
            case .machine(let number)?: state.machines[number]?.descriptors -= 1
            case .file(let number)?: state.files[number]?.descriptors -= 1
            case .processor(let number)?:
                state.processors.removeValue(forKey: number)?.destroy()
            case .device?, nil: break
            }
            state.collect()
        }
        return try linux.perform(.close(descriptor))
    }

    private func map(_ call: SystemCall, _ descriptor: Int32?, _ length: UInt64) throws(Errno) -> Int {
        let file = descriptor.flatMap { descriptor in state.update { $0.file(of: descriptor) } }
        guard let file else {
            return note(try linux.perform(call)) { state, result in state.mappings.insert(UInt(bitPattern: result)) }
        }
        return try state.update { state throws(Errno) in
            guard var inode = state.files[file.number], inode.isMappable else { throw .operationNotSupportedByDevice }
            let address = try inode.map(length: length, empty: state.empty)
            state.files[file.number] = inode
            return Int(bitPattern: address)
        }
    }

    private func unmap(_ call: SystemCall, _ address: UInt) throws(Errno) -> Int {
        state.update { state in
            state.mappings.remove(address)
            for number in state.files.keys { state.files[number]?.mappings[address] = nil }
            state.collect()
        }
        return try linux.perform(call)
    }

    /// Makes a hole in a file, or fills one. A guest_memfd knows whole pages alone.
    private func changeFile(
        _ call: SystemCall,
        _ descriptor: Int32,
        _ offset: UInt64,
        _ length: UInt64,
        _ change: (FileHandle, inout State) -> Void
    ) throws(Errno) -> Int {
        try state.update { state throws(Errno) in
            guard let file = state.file(of: descriptor), let inode = state.files[file.number] else {
                return try linux.perform(call)
            }
            let page = UInt64(FakeFile.page)
            guard length > 0, offset % page == 0, length % page == 0 else { throw .invalidArgument }
            if case .allocate = call, offset >= inode.size || length > inode.size - offset { throw .invalidArgument }
            change(file, &state)
            switch call {
            case .allocate:
                guard inode.populate(file.pages(offset, length)) else { throw .noMemory }
                return 0
            default: return try linux.perform(.punchHole(inode.store, offset: offset, length: length))
            }
        }
    }
}

/// A guest_memfd by its number.
struct FileHandle: Sendable {
    let number: Int

    /// The pages of a part, in bytes.
    func pages(_ offset: UInt64, _ length: UInt64) -> Range<Int> {
        let first = Int(offset) / FakeFile.page
        return first..<first + Int(length) / FakeFile.page
    }
}

extension FakeKernel.State {
    func file(of descriptor: Int32) -> FileHandle? {
        guard case .file(let number)? = objects[descriptor] else { return nil }
        return FileHandle(number: number)
    }

    /// Lets go of what nobody refers to any more. A file refers to its machine; a slot does not keep its file.
    mutating func collect() {
        for (number, file) in files where file.descriptors == 0 && file.mappings.isEmpty {
            file.destroy()
            files[number] = nil
            for machine in machines.keys {
                for (slot, value) in machines[machine]?.slots ?? [:] where value.file == number {
                    machines[machine]?.slots[slot]?.file = -1
                }
            }
        }
        for (number, machine) in machines where machine.descriptors == 0 {
            let isReferred =
                files.values.contains { $0.machine == number } || processors.values.contains { $0.machine == number }
            if !isReferred { machines[number] = nil }
        }
    }
}

// What a test asks of the fake.
extension FakeKernel {
    /// Everything that is open or mapped through this kernel, and not yet closed or unmapped.
    var openCount: Int {
        state.update { state in
            state.objects.count + state.memfds.count + state.mappings.count
                + state.files.values.reduce(0) { $0 + $1.mappings.count }
        }
    }

    /// How many pages of memory stand behind all files, private ones and others.
    var presentPages: Int {
        state.update { state in
            state.files.values.reduce(0) { $0 + $1.presentPages }
                + state.memfds.reduce(0) { $0 + FakeFile.presentPages(in: $1) }
        }
    }

    /// Has somebody outside of KVM take a reference to a page of the file that is at a guest-physical address.
    func pin(_ address: GuestPhysicalAddress) { changeReference(address, by: 1) }

    /// Drops such a reference.
    func unpin(_ address: GuestPhysicalAddress) { changeReference(address, by: -1) }

    private func changeReference(_ address: GuestPhysicalAddress, by count: Int) {
        state.update { state in
            for machine in state.machines.values {
                guard let slot = machine.slot(at: address.rawValue), let number = slot.file else { continue }
                let page = Int(slot.offset + address.rawValue - slot.guestAddress) / FakeFile.page
                let left = (state.files[number]?.references[page] ?? 0) + count
                state.files[number]?.references[page] = left > 0 ? left : nil
                // A reference is to a page that is there.
                if left > 0 { _ = state.files[number]?.populate(page..<page + 1) }
            }
        }
    }

    /// Has the guest take a page for shared or private, whatever its attribute is.
    func setView(_ view: FakeMachine.View?, of page: PageNumber) {
        state.update { state in
            for number in state.machines.keys { state.machines[number]?.views[page.rawValue] = view }
        }
    }

    /// The pages whose attribute has been changed from what it was at first, by machine and by file.
    var convertedPages: [Set<UInt64>] {
        state.update { state in
            state.machines.sorted { $0.key < $1.key }.map(\.value.privatePages)
                + state.files.sorted { $0.key < $1.key }.map(\.value.convertedPages)
        }
    }

    /// The slots of all machines, by their addresses.
    var slots: [FakeMachine.Slot] {
        state.update { state in
            state.machines.sorted { $0.key < $1.key }
                .flatMap { $0.value.slots.values.sorted { $0.guestAddress < $1.guestAddress } }
        }
    }

    /// Lets the next pre-faults stop after so many pages each, with these errors.
    func interruptPreFaults(_ events: [(pages: Int, errno: Errno)]) { state.update { $0.preFaultEvents = events } }

    /// Has the kernel run out of memory for attributes, or not any more.
    func setMemoryIsShort(_ isShort: Bool) { state.update { $0.memoryIsShort = isShort } }

    /// Marks a slot as one that is being replaced this moment, or not any more.
    func setVanishing(_ slot: UInt32, _ isVanishing: Bool) {
        state.update { state in
            if isVanishing { state.vanishingSlots.insert(slot) } else { state.vanishingSlots.remove(slot) }
        }
    }
}

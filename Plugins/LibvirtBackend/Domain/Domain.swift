#if Libvirt
import CLibvirt
import Glibc

/// A domain, or one reference to it: it is given back when the value is gone; the domain stays.
///
/// Every method blocks until libvirt has answered; see ``Connection``.
@safe package struct Domain: ~Copyable, Sendable {
    // A virDomain is locked by libvirt itself, and may be used by several threads; the pointer never changes.
    private nonisolated(unsafe) let pointer: OpaquePointer
    let gate: any CallGate
    /// The name that its users know it by.
    package let name: String
    /// The UUID, in its usual form.
    package let uuid: String

    /// Takes the reference over.
    ///
    /// - Throws: `VirError` where libvirt does not take it for a domain's.
    init(_ pointer: OpaquePointer, _ gate: any CallGate) throws(VirError) {
        guard let name = unsafe virDomainGetName(pointer), let uuid = unsafe Domain.uuid(of: pointer) else {
            throw VirError(last: .identity)
        }
        unsafe self.init(pointer, gate, name: String(cString: name), uuid: uuid)
    }

    private init(_ pointer: OpaquePointer, _ gate: any CallGate, name: String, uuid: String) {
        unsafe self.pointer = unsafe pointer
        self.gate = gate
        self.name = name
        self.uuid = uuid
    }

    deinit { unsafe virDomainFree(pointer) }

    /// One more reference to the same domain.
    package func share() -> Domain {
        unsafe virDomainRef(pointer)
        return unsafe Domain(pointer, gate, name: name, uuid: uuid)
    }

    static func uuid(of pointer: OpaquePointer) -> String? {
        var text = [CChar](repeating: 0, count: Int(VIR_UUID_STRING_BUFLEN))
        guard unsafe virDomainGetUUIDString(pointer, &text) == 0 else { return nil }
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    // MARK: Its life

    /// Starts a domain that does not run.
    package func create(paused: Bool = false) throws(VirError) {
        let flags = paused ? VIR_DOMAIN_START_PAUSED.rawValue : 0
        try gate.number(.create) { unsafe virDomainCreateWithFlags(pointer, flags) }
    }

    /// Ends it at once, as pulling the plug does.
    package func destroy() throws(VirError) {
        try gate.number(.destroy) { unsafe virDomainDestroyFlags(pointer, 0) }
    }

    /// Ends it, and sees that it has ended: a call that failed is made again until `deadline`.
    ///
    /// - Throws: `VirError` where it may run on.
    func end(before deadline: ContinuousClock.Instant = .now + .seconds(5)) throws(VirError) {
        while true {
            do throws(VirError) {
                return try destroy()
            } catch {
                // What is said to have failed may have been done, by this call or the one before.
                if (try? hasEnded()) == true { return }
                guard error.domain != VirError.remoteDomain, ContinuousClock.now < deadline else { throw error }
                usleep(50_000)
            }
        }
    }

    /// Forgets its definition. What runs goes on until it ends.
    package func undefine() throws(VirError) {
        let flags =
            VIR_DOMAIN_UNDEFINE_MANAGED_SAVE.rawValue | VIR_DOMAIN_UNDEFINE_NVRAM.rawValue
            | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA.rawValue
        try gate.number(.undefine) { unsafe virDomainUndefineFlags(pointer, flags) }
    }

    /// Stops the virtual processors.
    package func suspend() throws(VirError) {
        try gate.number(.suspend) { unsafe virDomainSuspend(pointer) }
    }

    /// Lets the virtual processors go on.
    package func resume() throws(VirError) {
        try gate.number(.resume) { unsafe virDomainResume(pointer) }
    }

    /// Resets the machine, as its button does.
    package func reset() throws(VirError) {
        try gate.number(.reset) { unsafe virDomainReset(pointer, 0) }
    }

    /// Whether it runs, or could go on where it was stopped.
    package func isActive() throws(VirError) -> Bool {
        var state: Int32 = 0
        try gate.number(.state) { unsafe virDomainGetState(pointer, &state, nil, 0) }
        return state != VIR_DOMAIN_SHUTOFF.rawValue && state != VIR_DOMAIN_CRASHED.rawValue
    }

    /// Whether its virtual processors rest, whoever stopped them.
    package func isPaused() throws(VirError) -> Bool {
        var state: Int32 = 0
        try gate.number(.state) { unsafe virDomainGetState(pointer, &state, nil, 0) }
        return state == VIR_DOMAIN_PAUSED.rawValue
    }

    // MARK: What it is

    /// The description of what runs, or of what would where it does not.
    package func describe() throws(VirError) -> String {
        try unsafe text(
            gate.object(.describe, givingBack: { unsafe free($0) }) { unsafe virDomainGetXMLDesc(pointer, 0) }
        )
    }

    // MARK: Devices of what runs

    /// Gives the guest a device. On success QEMU has it; when the guest uses it is the guest's affair.
    package func attach(_ device: XMLElement) throws(VirError) {
        let xml = device.text
        try gate.number(.attach) { unsafe virDomainAttachDeviceFlags(pointer, xml, live) }
    }

    /// Asks the guest to let a device go, and does not wait: the answer is an event, or never comes.
    package func requestDetach(alias: String) throws(VirError) {
        try gate.number(.detach) { unsafe virDomainDetachDeviceAlias(pointer, alias, live) }
    }

    /// Changes a device that the guest has.
    package func update(_ device: XMLElement) throws(VirError) {
        let xml = device.text
        try gate.number(.update) { unsafe virDomainUpdateDeviceFlags(pointer, xml, live) }
    }

    /// Asks the guest's balloon to leave it so much memory. The answer is an event, or never comes.
    package func setMemory(kibibytes: UInt) throws(VirError) {
        try gate.number(.setMemory) { unsafe virDomainSetMemoryFlags(pointer, kibibytes, live) }
    }

    private var live: UInt32 { VIR_DOMAIN_AFFECT_LIVE.rawValue }

    // MARK: Beside libvirt

    /// Copies guest-physical bytes out. Beyond the guest's RAM QEMU answers zeroes: the caller knows what is RAM.
    package func peek(at address: UInt64, count: Int) throws(VirError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let flags = UInt32(VIR_MEMORY_PHYSICAL.rawValue)
        try gate.number(.peek) {
            unsafe bytes.withUnsafeMutableBytes { buffer in
                unsafe virDomainMemoryPeek(pointer, address, count, buffer.baseAddress, flags)
            }
        }
        return bytes
    }

    /// Sends QEMU a command of its monitor (QMP, JSON), and returns the answer. An error of QEMU is an answer, too.
    package func monitor(_ command: String) throws(VirError) -> String {
        var answer: UnsafeMutablePointer<CChar>?
        try gate.number(.monitor) { unsafe virDomainQemuMonitorCommand(pointer, command, &answer, 0) }
        guard let answer = unsafe answer else { return "" }
        return unsafe text(answer)
    }
}

#endif

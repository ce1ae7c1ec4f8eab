#if Libvirt
import Custody

/// One region of the layout: a memory module of the guest's, plugged in at the region's address or not.
final class MemoryModule: Sendable {
    /// The region.
    let range: PageRange
    /// Libvirt's name of the device.
    let alias: String
    /// The module's socket on the board.
    let slot: Int
    /// Its NUMA cell.
    let cell: Int
    /// What it is made of.
    let file: ModuleFile

    private struct Access {
        /// The pages that this process's window is closed for.
        var hidden: PageRunMap<Bool>
        /// The way in for other processes.
        var entry = Entry.open
    }

    /// Whether other processes can open the file.
    private enum Entry {
        case open, closed
        /// It was to be changed, and that failed.
        case unknown
    }

    private let access: Locked<Access>
    private let sentry: HostSentry
    /// Which processes are taken not to have the file although they cannot be looked into.
    private let accepted: Set<UnseenProcesses>
    private let register: ProcessRegister

    init(
        _ range: PageRange,
        number: Int,
        slot: Int,
        cell: Int,
        file: ModuleFile,
        sentry: HostSentry,
        accepting accepted: Set<UnseenProcesses>,
        among register: ProcessRegister
    ) {
        self.range = range
        self.accepted = accepted
        self.register = register
        self.slot = slot
        self.cell = cell
        self.file = file
        self.sentry = sentry
        alias = MemoryModule.alias(number)
        access = Locked(Access(hidden: PageRunMap(bounds: range, state: false)))
    }

    /// The alias of the module of a number. Libvirt keeps aliases that begin so as they are.
    static func alias(_ number: Int) -> String { "ua-custody-\(number)" }

    /// The number of the module of an alias; `nil` where it is none of a module's.
    static func number(of alias: String) -> Int? {
        Int(alias.dropFirst(MemoryModule.alias(0).count - 1)).flatMap { MemoryModule.alias($0) == alias ? $0 : nil }
    }

    /// The device as libvirt describes one. It says itself that it is shared: what else an adopted domain has may not be.
    var device: XMLElement { MemoryModule.device(range, slot: slot, cell: cell, alias: alias) }

    static func device(_ range: PageRange, slot: Int, cell: Int, alias: String) -> XMLElement {
        XMLElement(
            "memory",
            ["model": "dimm", "access": "shared"],
            [
                XMLElement(
                    "target",
                    [:],
                    [
                        XMLElement("size", ["unit": "KiB"], text: "\(range.byteCount / 1024)"),
                        XMLElement("node", text: "\(cell)"),
                    ]
                ),
                XMLElement("alias", ["name": alias]),
                XMLElement(
                    "address",
                    [
                        "type": "dimm", "slot": "\(slot)",
                        "base": "0x" + String(range.address.rawValue, radix: 16),
                    ]
                ),
            ]
        )
    }

    // MARK: The host's access

    /// Closes this process's window on pages, and keeps other processes from opening the module.
    ///
    /// - Throws: `HostError`; everything is as it was then.
    func hide(_ pages: PageRange) throws(HostError) {
        try access.withLock { access throws(HostError) in
            let wasDenied = access.entry == .closed
            if !wasDenied { try deny(&access) }
            do throws(HostError) {
                try protect(pages, isOpen: false)
            } catch {
                // What the kernel did not close, or did and denied, is opened again where it was open.
                for run in access.hidden.runs(in: pages) where !run.state { try? protect(run.range, isOpen: true) }
                if !wasDenied { admit(&access) }
                throw error
            }
            access.hidden.set(pages, to: true)
        }
    }

    /// Opens this process's window on pages again. Other processes are kept out until ``admit()``.
    ///
    /// - Parameter isWanted: asked while nobody else opens or closes anything; where it says no, nothing is done.
    /// - Throws: `HostError`; the window is as it was then.
    func show(_ pages: PageRange, where isWanted: () -> Bool = { true }) throws(HostError) {
        try access.withLock { access throws(HostError) in
            guard isWanted() else { return }
            do throws(HostError) {
                try protect(pages, isOpen: true)
            } catch {
                for run in access.hidden.runs(in: pages) where run.state { try? protect(run.range, isOpen: false) }
                throw error
            }
            access.hidden.set(pages, to: false)
        }
    }

    /// Lets other processes in again, where no page is hidden.
    func admit() {
        access.withLock { access in
            if access.entry != .open, access.hidden.isUniform(range, false) { admit(&access) }
        }
    }

    /// Keeps other processes out, where a page is hidden and they are not kept out already.
    func keepOut() throws(HostError) {
        try access.withLock { access throws(HostError) in
            if access.entry != .closed, !access.hidden.isUniform(range, false) { try deny(&access) }
        }
    }

    /// Lets QEMU open the module although others may not, where the sentry cannot tell them apart, for so long.
    func withQEMUAdmitted<Result, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let mustOpen = sentry.means == .mode
        if mustOpen { access.withLock { if $0.entry != .open { admit(&$0) } } }
        // Where that fails, whoever waits for the module tries it again.
        defer { if mustOpen { try? keepOut() } }
        return try body()
    }

    /// Whether this process's window is open for all of these pages.
    func isShown(_ pages: PageRange) -> Bool { access.withLock { $0.hidden.isUniform(pages, false) } }

    private func deny(_ access: inout Access) throws(HostError) {
        do throws(HostError) {
            try sentry.deny(file)
            access.entry = .closed
        } catch {
            admit(&access)
            throw error
        }
    }

    private func admit(_ access: inout Access) {
        // Where that fails it is tried again with the next chance.
        do throws(HostError) {
            try sentry.admit(file)
            access.entry = .open
        } catch { access.entry = .unknown }
    }

    private func protect(_ pages: PageRange, isOpen: Bool) throws(HostError) {
        try file.protect(offset: offset(of: pages), length: pages.byteCount, isOpen: isOpen)
    }

    /// Where pages are in the file, in bytes.
    func offset(of pages: PageRange) -> UInt64 { pages.address.rawValue - range.address.rawValue }

    // MARK: The record

    /// Whether the guest has been asked for the module and has not answered, for whoever comes after this process.
    var isAsked: Bool {
        get { access.withLock { _ in file.isAsked } }
        set { access.withLock { _ in file.isAsked = newValue } }
    }

    // MARK: Who holds it

    /// Who of the host, but the process that runs the guest, has the file, or may have: each reaches all of it.
    ///
    /// - Parameters:
    ///   - pages: what they stand in the way of.
    ///   - guest: the process that runs the guest; `nil` where the kernel says that it has not the file.
    func holders(of pages: PageRange, but guest: Int32?, at now: Timestamp) throws(HostError) -> [Blocker] {
        let found = try file.strangers(beside: guest, accepting: accepted, among: register) { sentry.hear() }
        return MemoryModule.blockers(found, pages, now)
    }

    /// Whether nobody but this process has a descriptor of the file that was got by an open, or a mapping: the kernel's word.
    func isOurs() throws(HostError) -> Bool {
        let isHeard = sentry.hear()
        let standing = file.cleared.standing
        guard try file.isOurs() else { return false }
        if isHeard { file.cleared.noteThatNobodyHasIt(since: standing) }
        return true
    }

    /// Everybody who has the file, or may have, the process that runs the guest among them.
    func everybody(at now: Timestamp) throws(HostError) -> [Blocker] {
        MemoryModule.blockers(try file.holders(accepting: accepted, among: register), range, now)
    }

    /// Who has the file, and then who may have it: those together where they are many, or the others would not be found among them.
    static func blockers(_ holders: [FileHolder], _ pages: PageRange, _ now: Timestamp) -> [Blocker] {
        let (seen, unseen) = (holders.filter { $0.obstacle == nil }, holders.filter { $0.obstacle != nil })
        let isMany = unseen.count > FileHolder.mostNames
        var holders = (seen + (isMany ? [] : unseen)).map { holder in
            let purpose = holder.obstacle.map { "unseen: \($0)" }
            return (Holder(device: holder.command, process: holder.process, purpose: purpose), holder.isMapped)
        }
        if isMany {
            let purpose = "unseen: \(FileHolder.names(of: unseen)): \(unseen[0].obstacle ?? "")"
            holders.append((Holder(device: "\(unseen.count) processes", purpose: purpose), false))
        }
        return holders.map { Blocker(holder: $0, range: pages, kind: $1 ? .mapping : .pin, since: now) }
    }
}

#endif

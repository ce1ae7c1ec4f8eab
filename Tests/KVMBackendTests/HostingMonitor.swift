import Custody
import CustodyTestSupport
import Testing

@testable import KVMBackend

/// A monitor with a machine, RAM and processors of its own, which has further memory looked after: a back end of its own is the
/// machine, and the guest program is what runs on it.
final class HostingMonitor: MachineMonitor {
    /// What the monitor is told and asked, in order.
    enum Word: Sendable, Hashable {
        case paused, resumed
        case arrived([HostMapping])
        case left([HostMapping])
    }

    private struct Pause {
        var isWanted = false
        var isThere = false
    }

    /// The monitor's machine: 64 pages from 2 MiB on, and 16 from 64 MiB on.
    let guest: KVMBackend
    private let kernel: any Kernel
    private let pause = Monitor(Pause())
    private let log = Locked<[Word]>([])
    private let refuses = Locked(false)
    /// What the monitor puts at the beginning of each region that arrives.
    let firmware: [UInt8] = [0xC0, 0xDE]

    init(_ tested: ModeUnderTest) throws {
        kernel = try tested.makeKernel()
        let layout = try GuestMemoryLayout(regions: [
            Guests.range(0, 64), PageRange(pages: (64 << 8)..<(64 << 8) + 16),
        ])
        guest = try KVMBackend(
            GuestConfiguration(layout: layout, processors: 2),
            mode: tested.mode,
            sharedMemory: tested.sharedMemory,
            kernel: kernel,
            slotLimit: 100
        )
    }

    var words: [Word] { log.withLock { $0 } }
    func forget() { log.withLock { $0 = [] } }
    /// Has every pause fail from now on, or not.
    func refuse(_ isRefusing: Bool) { refuses.withLock { $0 = isRefusing } }

    /// What it lends: 200 slots beyond its own.
    var machine: AdoptedMachine {
        var machine = AdoptedMachine(
            descriptor: guest.machine.virtualMachine.descriptor.rawValue,
            slots: 300...499,
            monitor: self
        )
        machine.pauseLimit = .seconds(7)
        return machine
    }

    /// The bank: 64 pages from 16 MiB on, and 32 from 20 MiB on.
    static var bank: GuestMemoryLayout {
        get throws {
            try GuestMemoryLayout(regions: [
                PageRange(pages: (16 << 8)..<(16 << 8) + 64), PageRange(pages: (20 << 8)..<(20 << 8) + 32),
            ])
        }
    }

    /// Hands the bank over.
    func lend(_ mode: KVMMode, kernel other: (any Kernel)? = nil) throws(BackendError) -> KVMBackend {
        let layout: GuestMemoryLayout
        do { layout = try HostingMonitor.bank } catch { fatalError("\(error)") }
        return try KVMBackend(adopting: machine, layout: layout, mode: mode, kernel: other ?? kernel)
    }

    // MARK: What it is asked

    func pauseProcessors(within limit: Duration) -> Bool {
        guard !refuses.withLock({ $0 }), limit == .seconds(7) else { return false }
        pause.update { $0.isWanted = true }
        do {
            try Thread.start { [self] in
                do throws(BackendError) {
                    try guest.gate.withProcessorsOut { () throws(BackendError) in
                        pause.update { $0.isThere = true }
                        _ = pause.wait { $0.isWanted ? nil : () }
                    }
                } catch { Issue.record(error) }
                pause.update { $0.isThere = false }
            }
        } catch { return false }
        _ = pause.wait { $0.isThere ? () : nil }
        log.withLock { $0.append(.paused) }
        return true
    }

    func resumeProcessors() {
        log.withLock { $0.append(.resumed) }
        pause.update { $0.isWanted = false }
        _ = pause.wait { $0.isThere ? nil : () }
    }

    func memoryArrives(_ memory: [HostMapping]) {
        for mapping in memory { #expect(Touch.put(firmware, at: mapping.address) == 0) }
        log.withLock { $0.append(.arrived(memory)) }
    }

    func memoryLeaves(_ memory: [HostMapping]) { log.withLock { $0.append(.left(memory)) } }
}

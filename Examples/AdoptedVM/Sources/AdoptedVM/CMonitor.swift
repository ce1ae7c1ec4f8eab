import CMachine
import KVMBackend

/// The monitor in C, as the back end calls it.
final class CMonitor: MachineMonitor {
    /// What the monitor lends: its machine, and slot numbers that it does not use.
    var machine: AdoptedMachine {
        AdoptedMachine(descriptor: machine_descriptor(), slots: 100...499, monitor: self)
    }

    func pauseProcessors(within limit: Duration) -> Bool {
        machine_pause(Int32(limit.components.seconds * 1000)) != 0
    }

    func resumeProcessors() { machine_resume() }

    /// The bank's bytes go over with it.
    func memoryArrives(_ memory: [HostMapping]) {
        let result = unsafe machine_take_bank(UnsafeMutablePointer(bitPattern: memory[0].address))
        if result != 0 { fail("the bank's slot cannot be taken away: errno \(-result)") }
    }

    func memoryLeaves(_ memory: [HostMapping]) {
        let result = unsafe machine_put_bank(UnsafePointer(bitPattern: memory[0].address))
        if result != 0 { fail("the bank's slot cannot be put back: errno \(-result)") }
    }
}

#if Libvirt
import Custody
import CustodyPolicy
import Glibc
import LibvirtBackend

/// One life of a back end with a domain, which ends where it is told: `KillSweep DIRECTORY [NUMBER]`.
///
/// With a number the process is killed before the call of that number; without one it lives to its end, and the last line
/// says how many calls there were. `Scripts/kill-sweep` has it killed at each of them.
@main struct KillSweep {
    static func main() {
        let arguments = CommandLine.arguments
        guard arguments.count >= 2, arguments.count < 3 || Int(arguments[2]) != nil else {
            print("usage: KillSweep DIRECTORY [NUMBER]")
            exit(64)
        }
        let gate = KillingGate(at: arguments.count > 2 ? Int(arguments[2]) : nil)
        do {
            try live(in: arguments[1], gate)
            print("\(gate.count) calls")
        } catch {
            print(error)
            exit(69)
        }
    }

    /// Modules come, one is private in part, and one goes back.
    private static func live(in directory: String, _ gate: KillingGate) throws {
        var options = LibvirtOptions()
        options.root = directory + "/lv"
        options.memory = directory + "/memory"
        options.domain = "sweep"
        options.acceptedUnseenProcesses = Set(UnseenProcesses.allCases)
        options.acceptsDisk = true
        let mebibyte: UInt64 = 1 << 20
        let regions = try (0..<2).map { number in
            try PageRange(address: GuestPhysicalAddress((4 + UInt64(number)) << 30), byteCount: 2 * mebibyte)
        }
        let guest = GuestConfiguration(layout: try GuestMemoryLayout(regions: regions))
        let backend = try LibvirtBackend(guest, options: options, gate: gate)
        defer { backend.shutDown() }
        let controller = MemoryController(backend: backend, policy: AllowAll())
        _ = try backend.guestAgent?.perform(.answerRemovals(.accept), on: 0, answeringTo: controller)
        func convert(_ range: PageRange, to target: Ownership) throws {
            let outcome = try controller.convert(
                ConversionRequest(range, to: target, by: .host("sweep"), whenHeld: .handOver(deadline: .seconds(60)))
            )
            if case .pending(let ticket, _) = outcome.status { _ = ticket.wait(for: .seconds(120)) }
        }
        for region in regions { try convert(region, to: .shared) }
        try convert(try PageRange(start: regions[0].start, count: 4), to: .private)
        try convert(regions[1], to: .host)
        guard controller.runs(in: regions[1]).map(\.state) == [.host] else {
            throw BackendError(.guestFailed, "the second module has not come back")
        }
    }
}
#else
@main struct KillSweep {
    static func main() { print("built without the trait Libvirt") }
}
#endif

import CMachine
import Custody
import CustodyConfiguration
import CustodyOptions
import CustodyPolicy
import Foundation
import KVMBackend

/// A monitor in C hands a bank of its running guest's memory over, has pages of it converted, and takes it back.
@main
struct AdoptedVM {
    /// What is not as it should be.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    static func main() {
        do { try run() } catch { fail("\(error)") }
    }

    static func run() throws {
        let path = CommandLine.arguments.dropFirst().first ?? "vmm.yaml"
        let count = CommandLine.arguments.dropFirst(2).first.flatMap { UInt64($0) } ?? 100_000
        let result = machine_start()
        guard result == 0 else { throw Failure(description: "the machine cannot be started: errno \(-result)") }
        defer { machine_end() }
        try goOn("on its own")

        let monitor = CMonitor()
        let registry = BackendRegistry([KVMBackendProvider(adopting: monitor.machine)])
        let configuration = try Configuration(ConfigurationFile.read(path), registry: registry)
        let backend = try configuration.makeBackend()
        defer { backend.shutDown() }
        let controller = try configuration.makeController(on: backend)
        try goOn("with its bank looked after")

        // The first page is what the guest reads; the others change hands, one after the other, while it runs.
        let bank = controller.layout.bounds
        for number in 0..<count {
            let page = try PageRange(PageNumber(bank.start.rawValue + 1 + number / 2 % (bank.count - 1)))
            let target: Ownership = number % 2 == 0 ? .private : .shared
            let outcome = try controller.convert(ConversionRequest(page, to: target, by: .host("monitor")))
            guard case .completed = outcome.status else { throw Failure(description: "\(page): \(outcome.status)") }
        }
        try goOn("after \(count) conversions")

        guard let memory = backend as? KVMBackend else { throw Failure(description: "not of KVM") }
        if count % 2 == 1 { _ = try controller.convert(ConversionRequest(bank, to: .shared, by: .host("monitor"))) }
        try memory.handBack()
        try goOn("with its bank back")
    }

    /// Sees that each processor goes on with the program, which is in the monitor's own memory.
    static func goOn(_ when: String) throws {
        let before = (0..<MACHINE_PROCESSORS).map { machine_rounds(Int32($0)) }
        let (writes, end) = (machine_device_writes(), ContinuousClock.now + .seconds(60))
        while (0..<MACHINE_PROCESSORS).contains(where: { machine_rounds(Int32($0)) &- before[$0] < 100 }) {
            guard machine_failure() == 0, ContinuousClock.now < end else {
                throw Failure(description: "the guest does not go on \(when): exit \(machine_failure())")
            }
        }
        guard machine_device_writes() > writes else { throw Failure(description: "its device hears nothing \(when)") }
        print("the guest goes on \(when)")
    }
}

/// Ends the program with a message. The guest ends with it.
func fail(_ message: String) -> Never {
    print("adopted-vm: \(message)")
    exit(1)
}

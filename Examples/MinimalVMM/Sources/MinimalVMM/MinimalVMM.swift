import Custody
import CustodyOptions
import CustodyConfiguration
import CustodyPolicy
import KVMBackend
import SimulationBackend

/// A virtual machine monitor of a page: it makes the guest that its configuration names, applies a policy of its own,
/// and lets the guest keep a secret.
@main
struct MinimalVMM {
    static func main() throws {
        let path = CommandLine.arguments.dropFirst().first ?? "vmm.yaml"
        let registry = BackendRegistry([SimulationProvider(), KVMBackendProvider()])
        var configuration = try Configuration(ConfigurationFile.read(path), registry: registry)
        let backend = try configuration.makeBackend()
        defer { backend.shutDown() }

        let secrets = try PageRange(address: GuestPhysicalAddress(0x40_0000), byteCount: 0x1_0000)
        let own = SecretsStayPrivate(secrets: secrets, maximumShare: 16)
        configuration.policy = AllOf([configuration.policy, own])
        let controller = try configuration.makeController(on: backend)
        guard let guest = backend.guestAgent else { throw BackendError(.unsupported, "no guest program to run") }

        /// Has the guest ask for a conversion with its own instructions; the controller answers.
        func ask(for target: Ownership, of range: PageRange) throws -> GuestReply {
            let request = GuestOperation.request(
                address: range.address.rawValue,
                byteCount: range.byteCount,
                target: target
            )
            guard case .reply(let reply) = try guest.perform(request, on: 0, answeringTo: controller) else {
                throw BackendError(.guestFailed, "the guest did not answer")
            }
            return reply
        }

        print("\(configuration.backend.name): private pages are kept by the \(backend.capabilities.enforcement)")
        print("the guest makes \(secrets) private: \(try ask(for: .private, of: secrets))")
        _ = try guest.perform(.write(Array("hunter2".utf8), to: secrets.address), on: 0, answeringTo: controller)

        var bytes = [UInt8](repeating: 0, count: 7)
        var span = bytes.mutableSpan
        do {
            try controller.read(&span, from: secrets.address, for: Holder(device: "monitor"))
            print("the monitor reads the secret: this must not be")
        } catch {
            print("the monitor asks for the secret: \(error)")
        }
        do {
            try backend.read(&span, from: secrets.address)
            print("the monitor reads the secret behind the ledger's back: this must not be")
        } catch {
            print("the monitor reaches for the secret: \(error)")
        }
        print("the guest would share it: \(try ask(for: .shared, of: secrets))")
        for run in controller.runs(in: controller.layout.bounds) { print("  \(run.range)  \(run.state)") }
    }
}

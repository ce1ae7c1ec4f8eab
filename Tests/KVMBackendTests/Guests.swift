import Custody
import Synchronization
import Testing

@testable import KVMBackend

/// The guests that the tests run: RAM from 2 MiB on, 512 pages unless a test says otherwise.
enum Guests {
    static let base: UInt64 = 0x20_0000

    static func configuration(pages: UInt64 = 512, processors: Int = 1) throws -> GuestConfiguration {
        GuestConfiguration(
            layout: try GuestMemoryLayout(regions: [try range(0, pages)]),
            processors: processors
        )
    }

    static func backend(
        _ mode: KVMMode,
        pages: UInt64 = 512,
        processors: Int = 1,
        kernel: any Kernel = LinuxKernel(),
        slotLimit: Int? = nil
    ) throws -> KVMBackend {
        try KVMBackend(
            configuration(pages: pages, processors: processors),
            mode: mode,
            kernel: kernel,
            slotLimit: slotLimit
        )
    }

    /// So many pages from the `first` page of RAM on.
    static func range(_ first: UInt64, _ count: UInt64) throws -> PageRange {
        try PageRange(start: PageNumber(base / 4096 + first), count: count)
    }

    /// The address of a byte in the `page`-th page of RAM.
    static func address(_ page: UInt64, _ offset: UInt64 = 0) -> GuestPhysicalAddress {
        GuestPhysicalAddress(base + page * 4096 + offset)
    }
}

extension KVMBackend {
    /// Prepares, commits and finishes a change.
    @discardableResult
    func change(_ range: PageRange, from: Ownership, to: Ownership) throws -> ContentsEffect {
        finish(try commitOnly(range, from: from, to: to))
    }

    /// Prepares and commits a change.
    func commitOnly(_ range: PageRange, from: Ownership, to: Ownership) throws -> CommittedChange {
        let prepared = try prepare(OwnershipChange(range: range, from: from, to: to, initiator: .host))
        switch try commit(prepared) {
        case .completed(let committed): return committed
        case .blocked: throw Unexpected.outcome
        case .pending: throw Unexpected.outcome
        }
    }

    /// The guest program's slot, of a machine that is the back end's own.
    var program: BootSlot {
        guard let own else { fatalError("the machine is adopted") }
        return own.programSlot
    }

    /// What takes its own processors out.
    var ownGate: QuiesceGate {
        guard let own else { fatalError("the machine is adopted") }
        return own.gate
    }

    /// The host's own reading of bytes.
    func hostRead(_ count: Int, from address: GuestPhysicalAddress) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0xEE, count: count)
        var span = bytes.mutableSpan
        try read(&span, from: address)
        return bytes
    }

    /// The host's own writing of bytes.
    func hostWrite(_ bytes: [UInt8], to address: GuestPhysicalAddress) throws {
        try write(bytes.span, to: address)
    }

    /// The error of the host's reading a byte, or `nil` where it can.
    func hostError(at address: GuestPhysicalAddress) -> BackendError? {
        do {
            _ = try hostRead(1, from: address)
            return nil
        } catch { return error as? BackendError }
    }

    func guestRead(_ count: Int, from address: GuestPhysicalAddress, on processor: Int = 0) throws -> GuestOutcome {
        let agent = try #require(guestAgent)
        return try agent.perform(.read(count: count, from: address), on: processor, answeringTo: Refusing())
    }

    func guestWrite(_ bytes: [UInt8], to address: GuestPhysicalAddress, on processor: Int = 0) throws -> GuestOutcome {
        let agent = try #require(guestAgent)
        return try agent.perform(.write(bytes, to: address), on: processor, answeringTo: Refusing())
    }
}

extension KickSignal {
    /// One that nobody else has.
    static let test: KickSignal = {
        do { return try KickSignal(nil) } catch { fatalError("\(error)") }
    }()
}

enum Unexpected: Error { case outcome }

/// Refuses every request.
struct Refusing: GuestRequestHandler {
    func handle(_ request: GuestRequest) -> GuestReply { .refused }
}

/// Answers each request as it is told, and keeps them.
final class Answering: GuestRequestHandler {
    private let body: @Sendable (GuestRequest) -> GuestReply
    private let kept = Mutex<[GuestRequest]>([])

    init(_ body: @escaping @Sendable (GuestRequest) -> GuestReply) { self.body = body }

    var requests: [GuestRequest] { kept.withLock { $0 } }

    func handle(_ request: GuestRequest) -> GuestReply {
        kept.withLock { $0.append(request) }
        return body(request)
    }
}

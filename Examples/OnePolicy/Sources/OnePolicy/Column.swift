import Custody
import CustodyConfiguration
import CustodyPolicy
import Synchronization

/// The script on one back end.
struct Column {
    /// A decision, and what came of it.
    struct Cell: Equatable {
        let text: String
        /// Who owned what before, run by run: what differs there differs in what follows from it.
        let before: [PageRun<Ownership>]

        static func == (left: Cell, right: Cell) -> Bool { left.text == right.text }
    }

    let name: String
    let cells: [Cell]
    /// The back end's capabilities, by their names.
    let capabilities: [String: String]

    /// Plays the script.
    init(_ configuration: Configuration, _ backend: any MemoryBackend, _ script: [Question]) throws {
        defer { backend.shutDown() }
        let recorder = DecisionRecorder()
        // Each column has the pool of its own guest, as if it were alone.
        let controller = try configuration.makeController(on: backend, pools: SharedPools(), observer: recorder)
        name = configuration.backend.name
        capabilities = Column.named(backend.capabilities)
        var nic: HostLease?
        var cells: [Cell] = []
        for question in script {
            switch question.prelude {
            case .nothing: break
            case .pin(let offset):
                let page = try PageRange(address: Column.address(offset, in: controller), byteCount: 4096)
                nic = try controller.lease(page, .pin, for: Holder(device: "nic"))
            case .release:
                nic.take()?.release()
                backend.executor.drain()
            case .mark(let mark): controller.mark(mark)
            }
            let before = controller.runs(in: controller.layout.bounds)
            let answer = Column.ask(question, controller)
            backend.executor.drain()
            let decision = recorder.take().map { "\($0) → " } ?? ""
            cells.append(Cell(text: decision + answer, before: before))
        }
        nic.take()?.release()
        self.cells = cells
    }

    private static func ask(_ question: Question, _ controller: MemoryController) -> String {
        let address = address(question.offset, in: controller)
        if question.requester == .guest {
            let request = GuestRequest(
                processor: 0,
                address: address.rawValue,
                byteCount: question.byteCount,
                target: question.target
            )
            switch controller.handle(request) {
            case .done: return "done"
            case .refused: return "refused"
            case .retry(let next):
                return "retry from +\(ByteCount(next.rawValue - controller.layout.bounds.address.rawValue))"
            }
        }
        do {
            let range = try PageRange(address: address, byteCount: question.byteCount)
            let requester: Requester = question.requester == .host ? .host("monitor") : .device("nic")
            let outcome = try controller.convert(
                ConversionRequest(range, to: question.target, by: requester, contents: question.contents)
            )
            switch outcome.status {
            case .completed: return "done"
            case .blocked: return "blocked"
            case .pending: return "pending"
            case .deferred: return "later"
            case .stopped(let error): return "refused: \(error.code.rawValue)"
            }
        } catch let error as ConversionError {
            return "refused: \(error.code.rawValue)"
        } catch {
            return "refused: \(error)"
        }
    }

    private static func address(_ offset: UInt64, in controller: MemoryController) -> GuestPhysicalAddress {
        GuestPhysicalAddress(controller.layout.bounds.address.rawValue &+ offset)
    }

    /// Every capability by its name, whichever there are.
    private static func named(_ capabilities: Any, _ prefix: String = "") -> [String: String] {
        var names: [String: String] = [:]
        for case (let label?, let value) in Mirror(reflecting: capabilities).children {
            let parts = Mirror(reflecting: value).displayStyle == .struct ? named(value, prefix + label + ".") : [:]
            names.merge(parts.isEmpty ? [prefix + label: "\(value)"] : parts) { $1 }
        }
        return names
    }
}

/// Keeps the last decision of the policy, without its numbers: time is the back end's own.
private final class DecisionRecorder: ControllerObserver {
    private let last = Mutex<String?>(nil)

    func observe(_ event: ControllerEvent) {
        guard case .decided(_, let decision) = event.kind else { return }
        let verdict =
            switch decision.verdict {
            case .allow: "allowed"
            case .clampTo: "clamped"
            case .deferUntil: "put off"
            case .deny: "denied"
            }
        let rule = decision.reason.map { " [\($0.rule)]" } ?? ""
        last.withLock { $0 = verdict + rule }
    }

    func take() -> String? {
        last.withLock { last in
            defer { last = nil }
            return last
        }
    }
}

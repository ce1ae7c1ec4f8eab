import Custody
import CustodyProtocols

/// Plays the steps of a scenario that drive the kernel's protocol itself.
struct KernelPlayer {
    private let driver: any KernelDriver

    init(_ driver: any KernelDriver) { self.driver = driver }

    /// What a step came to, and why that is not right.
    typealias Verdict = (outcome: String, failure: String?)

    func call(
        _ operation: CustodyProtocols.Operation,
        _ address: UInt64,
        _ expected: ScenarioAction.KernelExpectation
    ) -> Verdict {
        guard let result = driver.call(operation, frame: frame(address)) else { return KernelPlayer.outside }
        return judge(result, expected, from: address)
    }

    func begin(_ name: String, _ operation: CustodyProtocols.Operation, _ address: UInt64, _ steps: Int?) -> Verdict {
        guard driver.begin(name, operation, frame: frame(address), isStopped: steps != nil) else {
            return ("failed", "\(name) cannot begin: the name is taken, or the page has no memory to hold")
        }
        guard let steps else { return ("begun", nil) }
        return advance(name, steps, .none)
    }

    func advance(_ name: String, _ steps: Int, _ expected: Wait) -> Verdict {
        guard let wait = driver.advance(name, steps: steps) else { return KernelPlayer.missing(name) }
        let outcome = wait == .none ? "ok" : "waits for \(wait.text)"
        return (outcome, wait == expected ? nil : "expected to wait for \(expected.text), not \(wait.text)")
    }

    func finish(_ name: String, _ expected: ScenarioAction.KernelExpectation) -> Verdict {
        guard let result = driver.finish(name) else { return KernelPlayer.missing(name) }
        return judge(result, expected, from: nil)
    }

    func state(
        _ address: UInt64,
        _ mappability: Mappability,
        _ isRegistered: Bool?,
        _ references: Int?,
        _ mappings: Int?
    ) -> Verdict {
        guard let (page, folio) = driver.state(frame: frame(address)) else { return KernelPlayer.outside }
        let hasType = folio?.flags.contains(.guestmem) ?? false
        let text =
            "\(page.mappability), \(hasType ? "registered" : "not registered"), "
            + (folio.map { "\($0.references) references, \($0.mappings) mappings" } ?? "no memory")
        let isRight =
            page.mappability == mappability && isRegistered != !hasType
            && (references == nil || references == Int(folio?.references ?? 0))
            && (mappings == nil || mappings == Int(folio?.mappings ?? 0))
        return (text, isRight ? nil : "the kernel has: \(text)")
    }

    func saw(_ expected: Events) -> Verdict {
        let seen = driver.events.ordeals
        let ordeals = Events.ordeals.filter { seen.contains($0.value) }
        let text = ordeals.isEmpty ? "nothing" : ordeals.map(\.key).joined(separator: ", ")
        return (text, seen == expected ? nil : "the kernel saw: \(text)")
    }

    private func judge(
        _ result: DrivenResult,
        _ expected: ScenarioAction.KernelExpectation,
        from address: UInt64?
    ) -> Verdict {
        if result.stuck != .none {
            let text = "waits for \(result.stuck.text), for ever"
            return (text, result.stuck == expected.stuck ? nil : text)
        }
        let answer = result.answer
        var text = "\(answer.kernel.name)"
        if answer.outcome != .none { text += ": \(answer.outcome.text)" }
        var failures: [String] = []
        if expected.stuck != .none { failures.append("expected to wait for \(expected.stuck.text) for ever") }
        if let wanted = expected.result, wanted != answer.kernel { failures.append("expected \(wanted.name)") }
        if let wanted = expected.outcome, wanted != answer.outcome { failures.append("expected \(wanted.text)") }
        if let wanted = expected.stop, let address {
            let first = driver.offset(frame: frame(address))
            let stop = answer.firstStop.flatMap { stop in
                first.map { address + (stop.rawValue - $0.rawValue) * PageSize.base.bytes }
            }
            if stop != wanted {
                let found = stop.map { "\(GuestPhysicalAddress($0))" } ?? "nowhere"
                failures.append("expected to stop at \(GuestPhysicalAddress(wanted)), not \(found)")
            }
        }
        return (text, failures.isEmpty ? nil : failures.joined(separator: ", ") + "; it answered \(text)")
    }

    private func frame(_ address: UInt64) -> UInt64 { GuestPhysicalAddress(address).page.rawValue }

    private static let outside: Verdict = ("failed", "there is no memory at this address")

    private static func missing(_ name: String) -> Verdict { ("failed", "there is no process \(name)") }
}

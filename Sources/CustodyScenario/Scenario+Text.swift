public import Custody
import CustodyPolicy

extension Scenario {
    /// The scenario as a file that reads back to the same steps.
    ///
    /// The options that a back end needs go in as they are given, as the text of a YAML mapping.
    ///
    /// - Throws: `BackendError` with code `unsupported` for steps that drive the kernel's own protocol: what writes
    ///   those knows more than a scenario.
    public func text(options: String? = nil) throws(BackendError) -> String {
        var lines = ["name: \(Scenario.quoted(name))"]
        if let options { lines.append("backends: \(options)") }
        lines.append("steps:")
        for step in steps {
            let pairs = try step.action.pairs + (step.rule.map { ["rule: \(Scenario.quoted($0))"] } ?? [])
            lines.append("  - {\(pairs.joined(separator: ", "))}")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Text between double quotes, with what YAML gives a meaning there escaped.
    fileprivate static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\" + String(scalar)
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\x" + (digits.count < 2 ? "0" : "") + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}

extension ScenarioAction {
    /// The keys and values of the step.
    fileprivate var pairs: [String] {
        get throws(BackendError) {
            switch self {
            case .guestWrites(let processor, let bytes, let address, let access):
                ["guest: write", "vcpu: \(processor)", at(address), data(bytes), expect(access.rawValue)]
            case .guestReads(let processor, let expectation, let address, let access):
                ["guest: read", "vcpu: \(processor)", at(address), data(expectation), expect(access.rawValue)]
            case .guestRequests(let processor, let target, let address, let byteCount, let reply, let device):
                ["guest: request", "vcpu: \(processor)", "target: \(target)", at(address), size(byteCount)]
                    + [expect(reply.rawValue)] + held(by: device)
            case .guestAnswersRemovals(let answer): ["guest: removals", "answer: \(answer.rawValue)"]
            case .hostWrites(let bytes, let address, let access):
                ["host: write", at(address), data(bytes), expect(access.rawValue)]
            case .hostReads(let expectation, let address, let access):
                ["host: read", at(address), data(expectation), expect(access.rawValue)]
            case .hostProbes(let address, let access): ["host: probe", at(address), expect(access.rawValue)]
            case .hostDiscards(let range, let access): ["host: discard"] + pages(range) + [expect(access.rawValue)]
            case .hostConverts(let target, let range, let contents, let deadline, let outcome, let device):
                ["host: convert", "target: \(target)"] + pages(range)
                    + (contents.map { ["contents: \($0)"] } ?? [])
                    + (deadline.map { ["deadline: \(nanoseconds($0))"] } ?? [])
                    + [expect(outcome.rawValue)] + held(by: device)
            case .hostCancels: ["host: cancel"]
            case .hostMarks(let name): ["host: mark", "name: \(Scenario.quoted(name))"]
            case .deviceLeases(let holder, let kind, let range, let hold, let access):
                [name(holder.device), "does: \(kind == .mapping ? "map" : "pin")"] + pages(range)
                    + (holder.queue.map { ["queue: \(Scenario.quoted($0))"] } ?? [])
                    + (hold.map { ["hold: \(nanoseconds($0))"] } ?? [])
                    + (holder.purpose.map { ["purpose: \(Scenario.quoted($0))"] } ?? []) + [expect(access.rawValue)]
            case .deviceWrites(let device, let bytes, let address):
                [name(device), "does: write", at(address), data(bytes)]
            case .deviceReads(let device, let expectation, let address):
                [name(device), "does: read", at(address), data(expectation)]
            case .deviceReleases(let device): [name(device), "does: release"]
            case .neighbourMaps(let name, let range, let access):
                [neighbour(name), "does: map"] + pages(range) + [expect(access.rawValue)]
            case .neighbourWrites(let name, let bytes, let address):
                [neighbour(name), "does: write", at(address), data(bytes)]
            case .neighbourReads(let name, let expectation, let address):
                [neighbour(name), "does: read", at(address), data(expectation)]
            case .neighbourReleases(let name): [neighbour(name), "does: release"]
            case .backed(let isBacked, let range): ["backed: \(isBacked ? "some" : "none")"] + pages(range)
            case .wait(let duration): ["wait: \(nanoseconds(duration))"]
            case .check(let ownership, let range): ["check: \(ownership)"] + pages(range)
            case .settled(let settlement, let limit):
                ["settled: \(settlement.rawValue)"] + (limit > .zero ? ["within: \(nanoseconds(limit))"] : [])
            case .kernelCalls, .processBegins, .processAdvances, .processFinishes, .kernelState, .kernelSaw:
                throw BackendError(.unsupported, "a step of the kernel's own is not written here")
            }
        }
    }

    private func at(_ address: UInt64) -> String { "at: \(address)" }

    private func size(_ byteCount: UInt64) -> String { "size: \(byteCount)" }

    private func pages(_ range: PageRange) -> [String] { [at(range.address.rawValue), size(range.byteCount)] }

    private func expect(_ word: String) -> String { "expect: \(word)" }

    private func held(by device: String?) -> [String] { device.map { ["held-by: \(Scenario.quoted($0))"] } ?? [] }

    private func name(_ device: String) -> String { "device: \(Scenario.quoted(device))" }

    private func neighbour(_ name: String) -> String { "neighbour: \(Scenario.quoted(name))" }

    private func nanoseconds(_ duration: Duration) -> String {
        "\(duration / .nanoseconds(1))".prefix { $0 != "." } + "ns"
    }

    private func data(_ expectation: Expectation) -> String {
        switch expectation {
        case .bytes(let bytes): data(bytes)
        case .any(let count): "size: \(count)"
        }
    }

    private func data(_ bytes: [UInt8]) -> String {
        "hex: \"" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + "\""
    }
}

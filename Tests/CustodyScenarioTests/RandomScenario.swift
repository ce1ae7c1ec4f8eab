import Custody
import CustodyOptions
import CustodyProtocols
import CustodyScenario
import SimulationBackend

/// A story made by chance, for a guest of eight pages, and what its back end is made with.
struct RandomScenario {
    var options: SimulationOptions
    var actions: [ScenarioAction]

    private static let base: UInt64 = 2 << 20
    private static let pages: UInt64 = 8

    init(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        options = SimulationOptions(
            handover: HandoverProtocol.all.randomElement(using: &random) ?? .custody,
            seed: seed,
            interleaves: Bool.random(using: &random),
            contents: Bool.random(using: &random) ? .zeroed : .preserved,
            pagesPerFolio: Int.random(in: 0..<4, using: &random) == 0 ? 2 : 1
        )
        if Int.random(in: 0..<3, using: &random) == 0 { options.faults = [Self.fault(&random)] }
        actions = []
        for _ in 0..<Int.random(in: 8...24, using: &random) { actions.append(Self.action(&random)) }
    }

    /// The story, with everything given back at the end.
    var scenario: Scenario {
        let place = SourceLocation(file: "random", line: 1, column: 1)
        var all = actions
        for device in Self.devices {
            for case .deviceLeases(let holder, _, _, nil, _) in actions where holder.device == device {
                all.append(.deviceReleases(device))
            }
        }
        all.append(.wait(.seconds(1)))
        return Scenario(name: "random", steps: all.map { ScenarioStep($0, at: place) })
    }

    /// The options as a scenario file gives them.
    var optionsText: String {
        var text = "protocol: \(options.handover.name), seed: \(options.seed), interleave: \(options.interleaves)"
        text += ", contents: \(options.contents.rawValue), folio: \(options.pagesPerFolio * 4)KiB"
        let faults = options.faults.map { fault in
            let effect =
                switch fault.effect {
                case .fail(let code): "fail: \(code.rawValue)"
                case .delay(let duration): "delay: \(duration / .microseconds(1))us"
                case .lose: "lose: true"
                case .poison(let address): "poison: \(address.rawValue)"
                }
            return "{at: \(fault.point.rawValue), nth: \(fault.occurrence), \(effect)}"
        }
        if !faults.isEmpty { text += ", faults: [\(faults.joined(separator: ", "))]" }
        return "{simulation: {\(text)}}"
    }

    static func backend(_ options: SimulationOptions) throws -> SimulationBackend {
        let region = try PageRange(address: GuestPhysicalAddress(base), byteCount: pages * 4096)
        return SimulationBackend(
            guest: GuestConfiguration(layout: try GuestMemoryLayout(regions: [region])),
            options: options
        )
    }

    private static let devices = ["net", "blk"]

    private static func fault(_ random: inout SplitMix64) -> Fault {
        let points: [Fault.Point] = [.prepare, .unmap, .commit, .discard, .populate]
        return Fault(
            at: points.randomElement(using: &random) ?? .commit,
            occurrence: Int.random(in: 1...4, using: &random),
            Int.random(in: 0..<8, using: &random) == 0 ? .lose : .fail(.resourcesExhausted)
        )
    }

    private static func action(_ random: inout SplitMix64) -> ScenarioAction {
        let first = UInt64.random(in: 0..<pages, using: &random)
        let count = UInt64.random(in: 1...min(4, pages - first), using: &random)
        let address = base + first * 4096
        let range = PageRange(random: address, count)
        let target: Ownership =
            [.shared, .shared, .private, .private, .private, .host].randomElement(using: &random) ?? .private
        let device = devices.randomElement(using: &random) ?? "net"
        switch Int.random(in: 0..<17, using: &random) {
        case 0...3:
            return .guestRequests(
                processor: 0,
                target: target,
                address: address,
                byteCount: count * 4096,
                .done,
                heldBy: nil
            )
        case 4, 5:
            let deadline: Duration? = Bool.random(using: &random) ? .microseconds(50) : nil
            return .hostConverts(
                target: target,
                range,
                contents: nil,
                deadline: deadline,
                .completed,
                heldBy: nil
            )
        case 6: return .hostCancels
        case 7, 14, 15, 16:
            let hold: Duration? = Bool.random(using: &random) ? .microseconds(40) : nil
            return .deviceLeases(Holder(device: device), .pin, range, hold: hold, .reached)
        case 8: return .deviceLeases(Holder(device: device), .mapping, range, hold: nil, .reached)
        case 9: return .deviceReleases(device)
        case 10: return .wait(.microseconds(Int.random(in: 1...80, using: &random)))
        case 11: return .hostDiscards(range, .reached)
        case 12: return .guestWrites(processor: 0, bytes: [1, 2, 3], address: address, .reached)
        default: return .hostReads(.any(count: 8), address: address, .reached)
        }
    }
}

extension PageRange {
    /// Pages that are known to be a range.
    fileprivate init(random address: UInt64, _ count: UInt64) {
        self.init(uncheckedStart: address / 4096, count: count)
    }
}

import BasicContainers
import Custody
import CustodyPolicy
import CustodyTestSupport
import SimulationBackend
import Testing

/// A controller on the simulation against plain arrays: random stories of both parties, devices and time.
@Suite(.timeLimit(.minutes(10))) struct ModelTests {
    /// What ought to be so, page by page.
    fileprivate struct Model {
        struct Pending {
            let ticket: Ticket
            let before: [Int: Ownership]
            let target: Ownership
            let deadline: Timestamp?
            let isGuest: Bool
        }

        var ownership: [Ownership]
        /// One byte stands for a page.
        var contents: [UInt8]
        var leases: [(pages: Range<Int>, kind: LeaseKind)] = []
        var pending: [Pending] = []

        mutating func complete(_ before: [Int: Ownership], _ target: Ownership, _ effect: ContentsEffect) {
            for page in before.keys {
                ownership[page] = target
                if effect == .zeroed { contents[page] = 0 }
            }
        }

        mutating func restore(_ index: Int) {
            for (page, before) in pending.remove(at: index).before { ownership[page] = before }
        }

        func isHeld(_ pages: some Sequence<Int>) -> Bool {
            pages.contains { page in leases.contains { $0.pages.contains(page) } }
        }

        /// Carries out what nobody holds any more.
        mutating func drain(_ effect: ContentsEffect) {
            for index in pending.indices.reversed() where !isHeld(pending[index].before.keys) {
                let done = pending.remove(at: index)
                complete(done.before, done.target, effect)
            }
        }
    }

    private static let pages = 12

    @Test(arguments: [ContentsEffect.zeroed, .preserved])
    func agreesWithPlainArrays(effect: ContentsEffect) throws {
        let seed = Seed.value()
        print("Model: CUSTODY_SEED=\(seed)")
        for sequence in 0..<1200 as Range<UInt64> {
            var story: [String] = []
            do {
                try play(SplitMix64(seed: seed &+ sequence &* 0x9e37), effect, &story)
            } catch {
                Issue.record(
                    "CUSTODY_SEED=\(seed), sequence \(sequence), \(effect): \(error)\n\(story.joined(separator: "\n"))"
                )
                return
            }
        }
    }

    private struct Mismatch: Error, CustomStringConvertible { let description: String }

    private func expect(_ condition: Bool, _ text: @autoclosure () -> String) throws(Mismatch) {
        if !condition { throw Mismatch(description: text()) }
    }

    private func play(_ generator: SplitMix64, _ effect: ContentsEffect, _ story: inout [String]) throws {
        var random = generator
        let layout = try GuestMemoryLayout(pages: 0..<UInt64(Self.pages))
        let backend = SimulationBackend(
            guest: GuestConfiguration(layout: layout),
            options: SimulationOptions(seed: 1, contents: effect, latency: .zero)
        )
        let log = EventLog()
        let controller = MemoryController(
            backend: backend,
            policy: AllowAll(),
            limits: ControllerLimits(pendingHandovers: 2),
            observer: log
        )
        var model = Model(
            ownership: Array(repeating: .shared, count: Self.pages),
            contents: Array(repeating: 0, count: Self.pages)
        )
        var leases = UniqueArray<HostLease>()
        for step in 1...25 {
            let low = Int(random.next(upperBound: UInt64(Self.pages)))
            let pages = low..<(low + 1 + Int(random.next(upperBound: UInt64(min(5, Self.pages - low)))))
            switch random.next(upperBound: UInt64(12)) {
            case 0..<4: try convert(pages, controller, &model, &random, effect, &story)
            case 4, 5:
                let kind = LeaseKind.allCases.randomElement(using: &random) ?? .pin
                story.append("lease \(kind) \(pages)")
                let isOwned = pages.allSatisfy { model.ownership[$0].allows(.host) }
                do {
                    let range = try PageRange(pages: UInt64(pages.lowerBound)..<UInt64(pages.upperBound))
                    leases.append(try controller.lease(range, kind, for: Holder(device: "d")))
                    try expect(isOwned, "leased what the host does not own")
                    model.leases.append((pages, kind))
                } catch is AccessError {
                    try expect(!isOwned, "refused what the host owns")
                }
            case 6, 7:
                guard !leases.isEmpty else { continue }
                let index = Int(random.next(upperBound: UInt64(leases.count)))
                story.append("release \(model.leases[index].pages)")
                leases.remove(at: index).release()
                model.leases.remove(at: index)
                try expect(controller.pendingTickets.count == model.pending.count, "settled on the releaser's stack")
                backend.executor.drain()
                model.drain(effect)
            case 8:
                guard !model.pending.isEmpty else { continue }
                let index = Int(random.next(upperBound: UInt64(model.pending.count)))
                let ticket = model.pending[index].ticket
                story.append("cancel \(ticket.id)")
                try expect(ticket.cancel(), "it could not be cancelled")
                try expect(ticket.result?.word == "cancelled", "settled as \(ticket.result?.word ?? "nothing")")
                model.restore(index)
            case 9:
                let span = Duration.milliseconds(Int(random.next(upperBound: UInt64(4))))
                story.append("wait \(span)")
                backend.executor.pass(span)
                let now = backend.executor.now
                for index in model.pending.indices.reversed() {
                    guard let deadline = model.pending[index].deadline, deadline <= now else { continue }
                    let ticket = model.pending[index].ticket
                    try expect(ticket.result?.word == "expired", "\(ticket.id) is \(ticket.result?.word ?? "pending")")
                    model.restore(index)
                }
            case 10: try hostTouches(low, controller, backend, &model, UInt8(step), &story)
            default: try guestTouches(low, controller, backend, &model, UInt8(step + 100), &story)
            }
            try compare(controller, model, log)
        }
    }

    private func convert(
        _ pages: Range<Int>,
        _ controller: MemoryController,
        _ model: inout Model,
        _ random: inout SplitMix64,
        _ effect: ContentsEffect,
        _ story: inout [String]
    ) throws {
        let isGuest = random.next() % 2 == 0
        let target = ([.shared, .private, .private, .host] as [Ownership]).randomElement(using: &random) ?? .private
        let deadline: Duration? =
            random.next() % 2 == 0 ? nil : .milliseconds(1 + Int(random.next(upperBound: UInt64(4))))
        let waits = random.next() % 4 != 0
        story.append(
            "\(isGuest ? "guest" : "host") converts \(pages) to \(target), waits \(waits) until \(deadline, default: "-")"
        )
        let range = try PageRange(pages: UInt64(pages.lowerBound)..<UInt64(pages.upperBound))
        let now = controller.backend.executor.now
        let expected = model.expected(pages, target, isGuest, waits)
        let request = ConversionRequest(
            range,
            to: target,
            by: isGuest ? .guest(processor: 0) : .host("vmm"),
            whenHeld: waits ? .handOver(deadline: deadline) : .report
        )
        do {
            let outcome = try controller.convert(request)
            story.append("  \(outcome)")
            try expect(outcome.word == expected, "\(outcome.word), not \(expected)")
            if let stop = outcome.stoppedAt {
                try expect(range.contains(stop), "stopped at \(stop), outside of what was asked for")
                let isPrefixDone = pages.prefix { $0 < Int(stop.rawValue) }.allSatisfy { model.ownership[$0] == target }
                try expect(isPrefixDone, "\(stop) claims a prefix that is not done")
            }
            switch outcome.status {
            case .completed:
                model.withdraw(pages, target)
                let changed = Dictionary(
                    uniqueKeysWithValues: pages.filter { model.ownership[$0] != target }.map {
                        ($0, model.ownership[$0])
                    }
                )
                try expect(outcome.changedPages == UInt64(changed.count), "\(outcome.changedPages) pages changed")
                model.complete(changed, target, effect)
            case .pending(let ticket, _) where !model.pending.contains { $0.ticket === ticket }:
                model.withdraw(pages, target)
                let changed = Dictionary(
                    uniqueKeysWithValues: pages.filter { model.ownership[$0] != target }.map {
                        ($0, model.ownership[$0])
                    }
                )
                for page in changed.keys { model.ownership[page] = .inTransit }
                model.pending.append(
                    Model.Pending(
                        ticket: ticket,
                        before: changed,
                        target: target,
                        deadline: deadline.map { now.advanced(by: $0) },
                        isGuest: isGuest
                    )
                )
            default: break
            }
        } catch let error as ConversionError {
            story.append("  \(error.code.rawValue)")
            try expect(error.code.rawValue == expected, "\(error.code.rawValue), not \(expected)")
        }
    }

    private func hostTouches(
        _ page: Int,
        _ controller: MemoryController,
        _ backend: SimulationBackend,
        _ model: inout Model,
        _ byte: UInt8,
        _ story: inout [String]
    ) throws {
        story.append("host touches \(page)")
        let address = GuestPhysicalAddress(UInt64(page) * 4096 + 17)
        var bytes: [UInt8] = [0xee]
        do {
            var span = bytes.mutableSpan
            try controller.read(&span, from: address, for: Holder(device: "vmm"))
            try expect(model.ownership[page].allows(.host), "the host read a \(model.ownership[page]) page")
            try expect(bytes[0] == model.contents[page], "the host read \(bytes[0]), not \(model.contents[page])")
            try controller.write([byte].span, to: address, for: Holder(device: "vmm"))
            model.contents[page] = byte
        } catch is AccessError {
            try expect(!model.ownership[page].allows(.host), "the host was refused a \(model.ownership[page]) page")
        }
        // Past the ledger: the simulation itself stops what a private page would lose.
        guard model.ownership[page] == .private else { return }
        do {
            bytes = [0xee]
            var span = bytes.mutableSpan
            try backend.read(&span, from: address)
            throw Mismatch(description: "a private page's bytes reached the host")
        } catch let error as BackendError {
            try expect(error.code == .accessDenied && bytes == [0xee], "\(error)")
        }
    }

    private func guestTouches(
        _ page: Int,
        _ controller: MemoryController,
        _ backend: SimulationBackend,
        _ model: inout Model,
        _ byte: UInt8,
        _ story: inout [String]
    ) throws {
        story.append("guest touches \(page)")
        // In transit the simulation lets the guest go on as before, or stops it: its capabilities say which.
        guard model.ownership[page] != .inTransit else { return }
        let address = GuestPhysicalAddress(UInt64(page) * 4096 + 17)
        switch try backend.perform(.read(count: 1, from: address), on: 0, answeringTo: controller) {
        case .bytes(let bytes):
            try expect(model.ownership[page].allows(.guest), "the guest read a \(model.ownership[page]) page")
            try expect(bytes == [model.contents[page]], "the guest read \(bytes), not \(model.contents[page])")
            _ = try backend.perform(.write([byte], to: address), on: 0, answeringTo: controller)
            model.contents[page] = byte
        default:
            try expect(
                !model.ownership[page].allows(.guest),
                "the guest was stopped at a \(model.ownership[page]) page"
            )
        }
    }

    private func compare(_ controller: MemoryController, _ model: Model, _ log: EventLog) throws {
        for page in 0..<Self.pages {
            let ownership = controller.ownership(of: PageNumber(UInt64(page)))
            try expect(
                ownership == model.ownership[page],
                "page \(page) is \(ownership, default: "-"), not \(model.ownership[page])"
            )
        }
        let pending = controller.pendingTickets.map(\.id)
        try expect(pending == model.pending.map(\.ticket.id).sorted(), "pending are \(pending)")
        try expect(model.pending.allSatisfy { $0.ticket.result == nil }, "a pending ticket is settled")
        let settled = log.settlements.map(\.id)
        try expect(Set(settled).count == settled.count, "a ticket was settled twice: \(settled)")
        let held = controller.blockers(of: controller.layout.bounds)
        try expect(held.count == model.leases.count, "\(held.count) leases, not \(model.leases.count)")
    }
}

extension ModelTests.Model {
    /// What a request for all pages ought to come to, in one word.
    fileprivate func expected(_ pages: Range<Int>, _ target: Ownership, _ isGuest: Bool, _ waits: Bool) -> String {
        if pages.allSatisfy({ ownership[$0] == target }) { return "completed" }
        if target == .host, !isGuest { return "unsupported" }
        var after = self
        let met = pending.filter { $0.before.keys.contains { pages.contains($0) } }
        if !met.isEmpty {
            let rest = pages.filter { ownership[$0] != .inTransit }
            if met.count == 1, met[0].target == target, rest.allSatisfy({ ownership[$0] == target }) {
                return "pending"
            }
            let takesBack = met.allSatisfy { hand in hand.before.allSatisfy { pages.contains($0) && $1 == target } }
            guard takesBack else { return "busy" }
            after.withdraw(pages, target)
            // Everybody whose pages have come back is gone; the rest is as if it were asked for now.
            return after.expected(pages, target, isGuest, waits)
        }
        let lost = pages.filter { ownership[$0].allows(.host) && !target.allows(.host) }
        let holders = leases.filter { lease in lost.contains { lease.pages.contains($0) } }
        if holders.isEmpty { return "completed" }
        if !waits || holders.contains(where: { $0.kind == .mapping }) { return "blocked" }
        return !isGuest || pending.count(where: \.isGuest) < 2 ? "pending" : "too-many-pending"
    }

    /// Takes back the hand-overs that a request for the ownership before covers.
    fileprivate mutating func withdraw(_ pages: Range<Int>, _ target: Ownership) {
        for index in pending.indices.reversed()
        where pending[index].before.allSatisfy({ pages.contains($0) && $1 == target }) { restore(index) }
    }
}

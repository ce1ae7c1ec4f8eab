import Custody
import CustodyOptions

/// Steps of a guest, its host, its devices and its neighbours.
extension StepFormat {
    private static let processor = Key.defaulting("vcpu", .integer(in: 0...1023), to: "0", "The virtual processor.")

    static let guestRequests = [
        Form<Decided>(
            "guest",
            says: "request",
            "The guest asks for a conversion.",
            processor,
            target,
            .address,
            .required("size", Format.size.map { (size, _) in size.rawValue }, "The number of bytes."),
            .defaulting(
                "expect",
                .word([("done", ScenarioAction.Reply.done), ("retry", .retry), ("refused", .refused)]),
                to: "done",
                "What it is to be told."
            ),
            holder,
            rule
        ) { (processor, target, address, byteCount, reply, holder, rule) in
            let action = ScenarioAction.guestRequests(
                processor: processor,
                target: target,
                address: address,
                byteCount: byteCount,
                reply,
                heldBy: holder
            )
            return (action, rule)
        }
    ]

    static let guest = [
        Form<ScenarioAction>(
            "guest",
            says: "write",
            "The guest stores bytes.",
            processor,
            bytes,
            .address,
            access(or: .stopped)
        ) { (processor, bytes, address, access) in
            .guestWrites(processor: processor, bytes: bytes, address: address, access)
        }
        .exactlyOne(of: bytesKeys),
        Form(
            "guest",
            says: "read",
            "The guest loads bytes, and compares them.",
            processor,
            .address,
            expectation,
            access(or: .stopped)
        ) { (processor, address, expectation, access) in
            .guestReads(processor: processor, expectation, address: address, access)
        }
        .exactlyOne(of: expectationKeys),
        Form(
            "guest",
            says: "removals",
            "The guest answers so from now on when it is asked to give memory up.",
            .required("answer", Format<RemovalAnswer>.word(), "How.")
        ) { (answer: RemovalAnswer) in .guestAnswersRemovals(answer) },
    ]

    static let hostConversions = [
        Form<Decided>(
            "host",
            says: "convert",
            "The host asks for a conversion.",
            target,
            .range,
            .optional(
                "contents",
                .word([("any", "any"), ("preserved", "preserved"), ("zeroed", "zeroed")]),
                "What is to become of the bytes."
            ),
            .optional("deadline", .duration(), "When it is given up, from now."),
            .defaulting(
                "expect",
                .word([
                    ("completed", ScenarioAction.Outcome.completed), ("pending", .pending), ("blocked", .blocked),
                    ("deferred", .deferred), ("refused", .refused),
                ]),
                to: "completed",
                "What is to become of it."
            ),
            holder,
            rule
        ) { (target, range, contents: String?, deadline, outcome, holder, rule) in
            let action = ScenarioAction.hostConverts(
                target: target,
                range,
                contents: contents,
                deadline: deadline,
                outcome,
                heldBy: holder
            )
            return (action, rule)
        }
    ]

    static let host = [
        Form<ScenarioAction>(
            "host",
            says: "write",
            "The host copies bytes in, as its ledger allows.",
            .address,
            bytes,
            access(or: .refused)
        ) { (address, bytes, access) in .hostWrites(bytes: bytes, address: address, access) }
        .exactlyOne(of: bytesKeys),
        Form(
            "host",
            says: "read",
            "The host copies bytes out, as its ledger allows, and compares them.",
            .address,
            expectation,
            access(or: .refused)
        ) { (address, expectation, access) in .hostReads(expectation, address: address, access) }
        .exactlyOne(of: expectationKeys),
        Form(
            "host",
            says: "probe",
            "The host reaches for a byte without asking its ledger.",
            .address,
            access(or: .stopped)
        ) { (address, access) in .hostProbes(address: address, access) },
        Form(
            "host",
            says: "discard",
            "The host throws the contents of pages away.",
            .range,
            access()
        ) { (range, access) in .hostDiscards(range, access) },
        Form("host", says: "cancel", "The host withdraws the newest pending hand-over.", .location) {
            (_: SourceLocation) in .hostCancels
        },
        Form("host", says: "mark", "The host sets a mark for the policy.", .required("name", .text, "The mark.")) {
            (name: String) in .hostMarks(name)
        },
    ]

    private static let device = Key.required("device", Format<String>.text, "The device, by its name.")
    private static let neighbour = Key.required("neighbour", Format<String>.text, "The other process, by its name.")

    private static func lease(_ word: String, _ kind: LeaseKind) -> Form<ScenarioAction> {
        Form(
            "device",
            by: "does",
            says: word,
            "The device takes a lease.",
            device,
            .range,
            .optional("queue", .text, "The queue that it is for."),
            .optional("purpose", .text, "What it is for."),
            .optional("hold", .duration(), "The time after which it lets go by itself."),
            access(or: .refused)
        ) { (device, range, queue: String?, purpose: String?, hold, access) in
            .deviceLeases(Holder(device: device, queue: queue, purpose: purpose), kind, range, hold: hold, access)
        }
    }

    static let others = [
        lease("pin", .pin),
        lease("map", .mapping),
        Form(
            "device",
            by: "does",
            says: "write",
            "The device stores bytes through its lease.",
            device,
            bytes,
            .address
        ) { (device, bytes, address) in .deviceWrites(device, bytes: bytes, address: address) }
        .exactlyOne(of: bytesKeys),
        Form(
            "device",
            by: "does",
            says: "read",
            "The device loads bytes through its lease, and compares them.",
            device,
            .address,
            expectation
        ) { (device, address, expectation) in .deviceReads(device, expectation, address: address) }
        .exactlyOne(of: expectationKeys),
        Form("device", by: "does", says: "release", "The device gives its lease up.", device) {
            (device: String) in .deviceReleases(device)
        },
        Form(
            "neighbour",
            by: "does",
            says: "map",
            "The other process maps pages.",
            neighbour,
            .range,
            access(or: .refused)
        ) { (neighbour, range, access) in .neighbourMaps(neighbour, range, access) },
        Form(
            "neighbour",
            by: "does",
            says: "write",
            "The other process stores bytes through its mapping.",
            neighbour,
            bytes,
            .address
        ) { (neighbour, bytes, address) in .neighbourWrites(neighbour, bytes: bytes, address: address) }
        .exactlyOne(of: bytesKeys),
        Form(
            "neighbour",
            by: "does",
            says: "read",
            "The other process loads bytes through its mapping, and compares them.",
            neighbour,
            .address,
            expectation
        ) { (neighbour, address, expectation) in .neighbourReads(neighbour, expectation, address: address) }
        .exactlyOne(of: expectationKeys),
        Form("neighbour", by: "does", says: "release", "The other process gives its mapping up.", neighbour) {
            (neighbour: String) in .neighbourReleases(neighbour)
        },
        Form("wait", .mapping(.required("wait", .duration(), "So much time passes.")) { (time) in .wait(time) }),
        Form(
            "check",
            .mapping(.required("check", ownership, "All pages of the range are so."), .range) { (ownership, range) in
                .check(ownership, range)
            }
        ),
        Form(
            "backed",
            .mapping(
                .required(
                    "backed",
                    Format<Bool>.word([("some", true), ("none", false)]),
                    "The pages have some memory of the host's behind them, or none at all."
                ),
                .range
            ) { (isBacked, range) in .backed(isBacked, range) }
        ),
        Form(
            "settled",
            .mapping(
                .required(
                    "settled",
                    Format<ScenarioAction.Settlement>.word([
                        ("completed", .completed), ("cancelled", .cancelled), ("expired", .expired),
                        ("failed", .failed),
                    ]),
                    "The newest pending hand-over has ended so."
                ),
                .optional("within", .duration(), "Or does within this time, which is not waited out.")
            ) { (settlement, limit: Duration?) in .settled(settlement, within: limit ?? .zero) }
        ),
    ]
}
